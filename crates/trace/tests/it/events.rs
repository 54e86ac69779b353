//! The events of another Muster.

use muster_trace::{Form, Warning, detect};

use crate::{read, show};

const LOG: &str = r#"{"seq":7,"time":"2026-11-23T16:44:52.100000000Z","agent":null,"attribution":null,"pid":5,"thread":5,"uid":0,"comm":"sh","kind":"exec","path":"/bin/sh","script":null,"argv":["sh","--password","hunter2hunter2"],"argv_truncated":false,"cwd":"/w","env":{},"parent_pid":1,"session":5,"group":5,"device":1,"inode":2,"anonymous":false}
{"seq":8,"time":"2026-11-23T16:44:52.200000000Z","pid":5,"thread":5,"uid":0,"comm":"sh","kind":"fork","child_pid":6}
{"seq":9,"time":"2026-11-23T16:44:52.300000000Z","pid":6,"thread":6,"uid":0,"comm":"sh","kind":"open","path":"/w/x","access":["write","create"],"result":0}
{"seq":12,"time":"2026-11-23T16:44:52.350000000Z","pid":6,"thread":6,"uid":0,"comm":"sh","kind":"dns","name":"a.b","record_type":"A","server":"1.2.3.4:53"}
{"seq":13,"time":"2026-11-23T16:44:52.350000000Z","pid":6,"thread":6,"uid":0,"comm":"sh","kind":"of the future"}
not json
{"seq":14,"time":"2026-11-23T16:44:52.400000000Z","pid":6,"thread":6,"uid":0,"comm":"sh","kind":"exit","exit_status":3,"signal":null}
"#;

#[test]
fn they_are_read_as_they_were_printed() {
    assert_eq!(detect(LOG.as_bytes()), Ok(Form::Events));
    let (events, record) = read(Form::Events, LOG);
    let shown: Vec<String> = events.iter().map(show).collect();
    assert_eq!(
        shown,
        [
            "5 exec /bin/sh [sh --password [redacted]] in /w of 1",
            "5 fork 6",
            "6 open write /w/x 0",
            "6 dns a.b A 1.2.3.4:53",
            "6 exit Some(3) None",
        ]
    );
    let warnings = record.warnings();
    let counts = [Warning::Hole, Warning::Event, Warning::Line].map(|w| warnings.get(w));
    assert_eq!(counts, [2, 1, 1]);
    // Parent and child are the same processes in all of them.
    assert_eq!(events[1].process, events[0].process);
    assert_eq!(events[4].process, events[2].process);
}
