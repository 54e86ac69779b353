//! What would hold up the writer is done beside it: closed segments go once their bundles and tiles are on the disk, and
//! room is made for the next one.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use crate::disk::Disk;
use crate::{Error, Result};

pub(crate) struct Sealer {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// Handed over and not known to be gone; at most as many as the disk has room for.
    waiting: BTreeSet<PathBuf>,
    /// Told of by `sealed` and not yet asked for.
    gone: Vec<PathBuf>,
    worker: Option<Worker>,
    spare: Option<Making>,
}

/// The room for the next segment.
enum Making {
    Beside(JoinHandle<io::Result<File>>),
    Made(io::Result<File>),
}

/// What is written at once of it.
const ZEROS: usize = 1024 * 1024;

struct Worker {
    jobs: Sender<PathBuf>,
    done: Receiver<(PathBuf, io::Result<()>)>,
    /// Ends when `jobs` is gone.
    _thread: JoinHandle<()>,
}

impl Sealer {
    pub fn start(disk: Arc<dyn Disk>, dir: &Path, thread: bool) -> Result<Sealer> {
        let worker = thread.then(|| Worker::start(Arc::clone(&disk), dir)).transpose()?;
        Ok(Sealer {
            disk,
            dir: dir.to_owned(),
            waiting: BTreeSet::new(),
            gone: Vec::new(),
            worker,
            spare: None,
        })
    }

    /// Begins to make room of this length for the next segment, where that has not begun yet.
    pub fn prepare(&mut self, path: PathBuf, len: u64) {
        if self.spare.is_some() {
            return;
        }
        let disk = Arc::clone(&self.disk);
        if self.worker.is_none() {
            self.spare = Some(Making::Made(make_room(&*disk, &path, len)));
            return;
        }
        let making = move || make_room(&*disk, &path, len);
        // Without it the next segment grows as it is written.
        let thread = std::thread::Builder::new().name("ledger room".to_owned()).spawn(making);
        self.spare = thread.ok().map(Making::Beside);
    }

    /// The room for the next segment, where it is made.
    pub fn take_room(&mut self) -> Option<File> {
        match self.spare.take()? {
            Making::Beside(thread) if !thread.is_finished() => {
                self.spare = Some(Making::Beside(thread));
                None
            }
            Making::Beside(thread) => thread.join().ok()?.ok(),
            Making::Made(room) => room.ok(),
        }
    }

    /// Takes a closed segment all of whose bundles and tiles are written.
    pub fn seal(&mut self, segment: PathBuf) {
        match &self.worker {
            Some(worker) => {
                if worker.jobs.send(segment.clone()).is_ok() {
                    self.waiting.insert(segment);
                }
            }
            // Where it fails the segment stays: the next start takes it up again.
            None => {
                if seal(&*self.disk, &self.dir, std::slice::from_ref(&segment)).is_ok() {
                    self.gone.push(segment);
                }
            }
        }
    }

    /// The segments that are gone since the last call.
    pub fn sealed(&mut self) -> Vec<PathBuf> {
        if let Some(worker) = &self.worker {
            for (path, result) in worker.done.try_iter() {
                self.waiting.remove(&path);
                if result.is_ok() {
                    self.gone.push(path);
                }
            }
        }
        std::mem::take(&mut self.gone)
    }

    /// Waits for all that were handed over, and for the room.
    pub fn wait(&mut self) -> io::Result<()> {
        self.spare = self.spare.take().map(|making| match making {
            Making::Beside(thread) => {
                Making::Made(thread.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into())))
            }
            made => made,
        });
        let Some(worker) = &self.worker else { return Ok(()) };
        let mut failed = Ok(());
        while !self.waiting.is_empty() {
            let Ok((path, result)) = worker.done.recv() else { break };
            self.waiting.remove(&path);
            match result {
                Ok(()) => self.gone.push(path),
                Err(error) => failed = Err(error),
            }
        }
        failed
    }
}

impl Worker {
    fn start(disk: Arc<dyn Disk>, dir: &Path) -> Result<Worker> {
        let (jobs, waiting) = channel::<PathBuf>();
        let (report, done) = channel();
        let folder = dir.to_owned();
        let thread = std::thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || {
                while let Ok(first) = waiting.recv() {
                    // One wait for all that came meanwhile.
                    let segments: Vec<PathBuf> = std::iter::once(first).chain(waiting.try_iter()).collect();
                    let result = seal(&*disk, &folder, &segments);
                    for path in segments {
                        let result = result.as_ref().map(|_| ()).map_err(|error| error.kind().into());
                        if report.send((path, result)).is_err() {
                            return;
                        }
                    }
                }
            })
            .map_err(Error::io("start a thread for", dir))?;
        Ok(Worker { jobs, done, _thread: thread })
    }
}

fn make_room(disk: &dyn Disk, path: &Path, len: u64) -> io::Result<File> {
    let make = || {
        let file = disk.create(path)?;
        let zeros = vec![0; ZEROS];
        let mut at = 0;
        while at < len {
            let part = zeros.get(..usize::try_from(len - at).unwrap_or(ZEROS).min(ZEROS)).unwrap_or_default();
            disk.write_at(path, &file, part, at)?;
            at += part.len() as u64;
        }
        // CRASH: room without a segment.
        disk.point("room");
        disk.sync(path, &file)?;
        Ok(file)
    };
    make().inspect_err(|_| {
        let _ = disk.remove(path);
    })
}

fn seal(disk: &dyn Disk, dir: &Path, segments: &[PathBuf]) -> io::Result<()> {
    disk.sync_all(dir)?;
    for segment in segments {
        // CRASH: the bundles are on the disk, and the segment is still there.
        disk.point("seal");
        match disk.remove(segment) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
