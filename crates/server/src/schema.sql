-- The index: a projection of the ledger. `at` is the ledger index of the entry that a row comes from. `findings.leaf` is
-- where the finding was first told as it is: retention writes it again, and `at` follows.
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE blocks (
    first INTEGER PRIMARY KEY, min_seq INTEGER, max_seq INTEGER, min_ns INTEGER, max_ns INTEGER,
    events INTEGER NOT NULL
);
-- In which blocks, and between which events, an agent did something. May be wider than what it did, never narrower.
CREATE TABLE ranges (
    agent TEXT NOT NULL, block INTEGER NOT NULL, min_seq INTEGER NOT NULL, max_seq INTEGER NOT NULL,
    PRIMARY KEY (agent, block)
) WITHOUT ROWID;
CREATE TABLE agents (
    id TEXT PRIMARY KEY, at INTEGER NOT NULL, product TEXT NOT NULL, state TEXT NOT NULL,
    started_ns INTEGER NOT NULL, ended_ns INTEGER, last_ns INTEGER NOT NULL, json TEXT NOT NULL
);
CREATE INDEX agents_at ON agents (at);
CREATE TABLE members (
    pid INTEGER NOT NULL, start_ns INTEGER NOT NULL, agent TEXT NOT NULL, from_seq INTEGER NOT NULL,
    by TEXT NOT NULL, at INTEGER NOT NULL, made INTEGER NOT NULL, ended_seq INTEGER, until_seq INTEGER,
    PRIMARY KEY (pid, start_ns, agent, from_seq)
) WITHOUT ROWID;
CREATE INDEX members_at ON members (at);
CREATE TABLE joins (
    agent TEXT NOT NULL, call_id TEXT NOT NULL, pid INTEGER NOT NULL, start_ns INTEGER NOT NULL,
    seq INTEGER NOT NULL, at INTEGER NOT NULL, json TEXT NOT NULL,
    PRIMARY KEY (agent, call_id, pid, start_ns, seq)
) WITHOUT ROWID;
CREATE INDEX joins_at ON joins (at);
CREATE TABLE findings (
    id TEXT PRIMARY KEY, at INTEGER NOT NULL, agent TEXT NOT NULL, code TEXT NOT NULL, severity INTEGER NOT NULL,
    time_ns INTEGER NOT NULL, leaf INTEGER NOT NULL, json TEXT NOT NULL
);
CREATE INDEX findings_agent ON findings (agent, severity);
CREATE INDEX findings_time ON findings (time_ns);
CREATE INDEX findings_at ON findings (at);
CREATE INDEX findings_leaf ON findings (leaf);
-- Copies, so that retention never takes what a finding rests on. `leaf`: where it stands in the ledger, also when pruned.
CREATE TABLE evidence (
    finding TEXT NOT NULL, position INTEGER NOT NULL, copy TEXT NOT NULL, leaf INTEGER, PRIMARY KEY (finding, position)
) WITHOUT ROWID;
-- What people said of findings: the latest of each.
CREATE TABLE reviews (
    finding TEXT PRIMARY KEY, at INTEGER NOT NULL, time_ns INTEGER NOT NULL, judgement TEXT NOT NULL, json TEXT NOT NULL
);
CREATE INDEX reviews_at ON reviews (at);
CREATE TABLE claims (
    id TEXT PRIMARY KEY, at INTEGER NOT NULL, agent TEXT NOT NULL, verdict TEXT NOT NULL, time_ns INTEGER NOT NULL,
    json TEXT NOT NULL
);
CREATE INDEX claims_agent ON claims (agent, time_ns);
CREATE INDEX claims_at ON claims (at);
-- What models answered that were asked about an agent: opinions, no evidence.
CREATE TABLE opinions (
    agent TEXT NOT NULL, skeleton BLOB NOT NULL, model TEXT NOT NULL, at INTEGER NOT NULL, time_ns INTEGER NOT NULL,
    json TEXT NOT NULL, PRIMARY KEY (agent, skeleton, model)
) WITHOUT ROWID;
CREATE INDEX opinions_at ON opinions (at);
-- What belongs to a lineage though no fork connects it.
CREATE TABLE descents (
    agent TEXT NOT NULL, pid INTEGER NOT NULL, start_ns INTEGER NOT NULL, via TEXT NOT NULL, at INTEGER NOT NULL,
    time_ns INTEGER NOT NULL, json TEXT NOT NULL, PRIMARY KEY (agent, pid, start_ns, via)
) WITHOUT ROWID;
CREATE INDEX descents_at ON descents (at);
CREATE TABLE artefacts (
    id TEXT PRIMARY KEY, at INTEGER NOT NULL, agent TEXT NOT NULL, gone INTEGER NOT NULL, time_ns INTEGER NOT NULL,
    json TEXT NOT NULL
);
CREATE INDEX artefacts_agent ON artefacts (agent, time_ns);
CREATE INDEX artefacts_at ON artefacts (at);
CREATE TABLE accounts (
    at INTEGER PRIMARY KEY, agent TEXT NOT NULL, path TEXT NOT NULL, offset INTEGER NOT NULL, len INTEGER NOT NULL,
    sha256 BLOB NOT NULL, time_ns INTEGER NOT NULL, min_ns INTEGER NOT NULL, max_ns INTEGER NOT NULL
);
CREATE INDEX accounts_agent ON accounts (agent);
CREATE INDEX accounts_path ON accounts (path, offset);
CREATE TABLE losses (at INTEGER PRIMARY KEY, json TEXT NOT NULL);
CREATE TABLE gaps (
    id TEXT PRIMARY KEY, at INTEGER NOT NULL, agent TEXT, from_ns INTEGER NOT NULL, to_ns INTEGER, json TEXT NOT NULL
);
CREATE INDEX gaps_time ON gaps (from_ns);
CREATE INDEX gaps_open ON gaps (at) WHERE to_ns IS NULL;
CREATE TABLE probes (probe TEXT PRIMARY KEY, at INTEGER NOT NULL, time_ns INTEGER NOT NULL, error TEXT);
CREATE TABLE starts (at INTEGER PRIMARY KEY, json TEXT NOT NULL, boot_id TEXT NOT NULL, stopped_ns INTEGER);
CREATE TABLE snapshots (
    pid INTEGER NOT NULL, start_ns INTEGER NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (pid, start_ns)
) WITHOUT ROWID;
CREATE TABLE dropped (
    one INTEGER PRIMARY KEY CHECK (one = 1), at INTEGER NOT NULL, from_ns INTEGER NOT NULL, to_ns INTEGER NOT NULL,
    events INTEGER NOT NULL, bytes INTEGER NOT NULL, through INTEGER NOT NULL, keep TEXT NOT NULL
);
-- The log's own keys and settings.
CREATE TABLE log (at INTEGER PRIMARY KEY, json TEXT NOT NULL);
