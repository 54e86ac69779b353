use std::io::Read;
fn main(){ let mut b=Vec::new(); std::fs::File::open(std::env::args().nth(1).unwrap()).unwrap().read_to_end(&mut b).unwrap();
 let form=muster_trace::detect(&b[..b.len().min(65536)]).unwrap();
 let mut r=muster_trace::Record::new(form, muster_trace::Options{is_sensitive:|_|false,is_marker:|_|true,cwd:None});
 let t=std::time::Instant::now();
 let mut ev=r.feed(&b); ev.extend(r.finish());
 eprintln!("{:?} {} events {:?} blind {:?} {:?}", form, ev.len(), r.warnings(), r.parts().blind().collect::<Vec<_>>(), t.elapsed());
 for e in ev { println!("{} {} {:?}", e.process.pid, e.time_ns, e.kind); } }
