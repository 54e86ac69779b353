//! What agents' work is made of: a clone and a build, an install, git in a loop; and the single acts below these. Nothing
//! leaves the machine: repository, crates and packages are made here.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::Mode;
use crate::act;
use crate::daemon::children_cpu;

/// A piece of work. Its figure is wall time, of single acts nanoseconds for each.
pub struct Job {
    pub name: &'static str,
    pub command: Vec<String>,
    /// It prints its own figure.
    pub single: bool,
}

pub struct Figure {
    pub wall: f64,
    pub cpu: f64,
}

impl Job {
    /// Does it, below `muster run` or not.
    pub fn measure(&self, dir: &Path, supervised: Option<Command>) -> Figure {
        let (program, arguments) = self.command.split_first().unwrap();
        let mut command = match supervised {
            Some(mut command) => {
                command.arg(program);
                command
            }
            None => Command::new(program),
        };
        command.args(arguments).current_dir(dir).stdin(Stdio::null());
        let (cpu, begun) = (children_cpu(), Instant::now());
        let out = command.output().unwrap();
        let wall = begun.elapsed().as_secs_f64();
        assert!(out.status.success(), "{}: {}", self.name, String::from_utf8_lossy(&out.stderr));
        let wall =
            if self.single { String::from_utf8_lossy(&out.stdout).trim().parse().unwrap() } else { wall };
        Figure { wall, cpu: (children_cpu() - cpu).as_secs_f64() }
    }
}

pub fn jobs(dir: &Path, mode: Mode) -> Vec<Job> {
    let shell = |name, script: String| Job {
        name,
        command: vec!["/bin/sh".to_owned(), "-ec".to_owned(), script],
        single: false,
    };
    let single = |name, arguments: &[&str]| Job { name, command: act::command(arguments), single: true };
    let mut jobs = Vec::new();
    prepare_crate(dir);
    jobs.push(shell(
        "git clone + cargo build",
        "rm -rf work; git clone -q origin work; cd work; cargo build -q --offline".to_owned(),
    ));
    if prepare_package(dir) {
        jobs.push(shell(
            "npm install",
            "rm -rf install; mkdir install; cd install; cp ../package/package.json .; \
             npm install --offline --no-audit --no-fund --silent"
                .to_owned(),
        ));
    } else {
        println!("(npm is not here: its line is left out)\n");
    }
    let loops = mode.pick(40, 250);
    jobs.push(shell(
        "git status in a loop",
        format!("cd origin; n=0; while [ $n -lt {loops} ]; do git status --short >../out; n=$((n+1)); done"),
    ));
    let file = dir.join("file").to_string_lossy().into_owned();
    fs::write(&file, "").unwrap();
    jobs.push(single("getppid", &["getppid", mode.pick("200000", "1000000")]));
    jobs.push(single("open for reading + close", &["read", &file, mode.pick("100000", "200000")]));
    jobs.push(single("open for writing + close", &["write", &file, mode.pick("50000", "100000")]));
    jobs.push(single("fork + exec + wait", &["exec", mode.pick("200", "600")]));
    jobs
}

fn run(dir: &Path, line: &str) -> bool {
    Command::new("/bin/sh")
        .args(["-ec", line])
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()
        .is_ok_and(|o| o.status.success())
}

/// A workspace of five crates, one with a build script, in a repository.
fn prepare_crate(dir: &Path) {
    let origin = dir.join("origin");
    for krate in 0..5 {
        let folder = origin.join(format!("part{krate}"));
        fs::create_dir_all(folder.join("src")).unwrap();
        let before = if krate == 0 {
            String::new()
        } else {
            format!("part{0} = {{ path = \"../part{0}\" }}\n", krate - 1)
        };
        fs::write(
            folder.join("Cargo.toml"),
            format!("[package]\nname = \"part{krate}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[dependencies]\n{before}"),
        )
        .unwrap();
        for module in 0..4 {
            let functions: String = (0..10)
                .map(|n| {
                    format!("/// One of many.\npub fn f{n}(x: u64) -> Option<String> {{\n    let v: Vec<String> = (0..x).map(|i| format!(\"{{i}} {n}\")).collect();\n    v.iter().max().cloned()\n}}\n")
                })
                .collect();
            fs::write(folder.join(format!("src/m{module}.rs")), functions).unwrap();
        }
        let modules: String = (0..4).map(|m| format!("pub mod m{m};\n")).collect();
        fs::write(folder.join("src/lib.rs"), modules).unwrap();
        for n in 0..60 {
            fs::write(folder.join(format!("note{n}.md")), format!("note {n}\n").repeat(20)).unwrap();
        }
    }
    fs::write(
        origin.join("part2/build.rs"),
        "fn main() { println!(\"cargo:rerun-if-changed=build.rs\"); }\n",
    )
    .unwrap();
    fs::create_dir_all(origin.join("part4/src/bin")).unwrap();
    fs::write(origin.join("part4/src/bin/tool.rs"), "fn main() { println!(\"{:?}\", part4::m0::f1(3)); }\n")
        .unwrap();
    fs::write(origin.join("Cargo.toml"), "[workspace]\nresolver = \"2\"\nmembers = [\"part*\"]\n").unwrap();
    fs::write(origin.join(".gitignore"), "target\n").unwrap();
    let line = "git init -q -b main; git config user.name x; git config user.email x@example.invalid; \
                cargo generate-lockfile --offline; git add -A; git commit -q -m begin";
    assert!(run(&origin, line), "the repository could not be made");
}

/// A package with eight dependencies, as archives in a folder.
fn prepare_package(dir: &Path) -> bool {
    let package = dir.join("package");
    let mut dependencies = Vec::new();
    for n in 0..8 {
        let folder = package.join(format!("dep{n}"));
        fs::create_dir_all(folder.join("lib")).unwrap();
        fs::write(
            folder.join("package.json"),
            format!("{{\"name\":\"dep{n}\",\"version\":\"1.0.0\",\"main\":\"lib/f0.js\"}}"),
        )
        .unwrap();
        for file in 0..40 {
            fs::write(folder.join(format!("lib/f{file}.js")), "exports.f = (x) => x + 1;\n".repeat(40))
                .unwrap();
        }
        if !run(&package, &format!("npm pack --silent ./dep{n}")) {
            return false;
        }
        dependencies.push(format!("\"dep{n}\":\"file:../package/dep{n}-1.0.0.tgz\""));
    }
    let all = dependencies.join(",");
    fs::write(
        package.join("package.json"),
        format!("{{\"name\":\"small\",\"version\":\"1.0.0\",\"dependencies\":{{{all}}}}}"),
    )
    .is_ok()
}
