//! What is known of agent products, model providers and daemons: plain data, from `products/*.toml`.

use std::collections::BTreeMap;

use serde::Deserialize;

mod pattern;
mod services;

use pattern::argv_matches;
pub use pattern::glob;
pub(crate) use services::{Service, What};

/// The data that is built in. A user's folder may add files, or replace one by its name.
const BUILT_IN: &[(&str, &str)] = &[
    ("claude-code.toml", include_str!("../products/claude-code.toml")),
    ("codex.toml", include_str!("../products/codex.toml")),
    ("gemini-cli.toml", include_str!("../products/gemini-cli.toml")),
    ("opencode.toml", include_str!("../products/opencode.toml")),
    ("openhands.toml", include_str!("../products/openhands.toml")),
    ("providers.toml", include_str!("../products/providers.toml")),
    ("daemons.toml", include_str!("../products/daemons.toml")),
    ("helpers.toml", include_str!("../products/helpers.toml")),
    ("others.toml", include_str!("../products/others.toml")),
    ("services.toml", include_str!("../products/services.toml")),
    ("drill.toml", include_str!("../products/drill.toml")),
];

#[derive(Debug, thiserror::Error)]
pub enum ProductsError {
    #[error(
        "cannot read the product data in `{file}`\nhint: compare with the built-in files, printed by `muster products`"
    )]
    Parse {
        file: String,
        #[source]
        source: Box<toml::de::Error>,
    },
    #[error("`{file}` names the set of helpers `{set}`, which no `[[set]]` of `helpers.toml` has")]
    NoSuchSet { file: String, set: String },
}

#[derive(Clone)]
pub struct Products {
    products: BTreeMap<String, Product>,
    providers: Providers,
    daemons: Vec<Daemon>,
    wrappers: Vec<Named>,
    services: Vec<Service>,
}

/// One agent product.
#[derive(Clone, Debug, Deserialize)]
pub struct Product {
    pub product: Head,
    #[serde(default)]
    pub identity: Identity,
    #[serde(default)]
    environment: Environment,
    #[serde(default)]
    account: Account,
    #[serde(default)]
    helper: Vec<Helper>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Head {
    pub name: String,
    pub display: String,
    /// Sets of helpers (`helpers.toml`) that this product uses besides its own.
    #[serde(default)]
    helpers: Vec<String>,
}

/// How its executable is known: by the files themselves, never by the name of a process.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Identity {
    /// npm packages that hold the executable file or script.
    #[serde(default)]
    pub package: Vec<Package>,
    /// Texts that are in the native executable.
    #[serde(default)]
    pub marker: Vec<Marker>,
    /// File names of its program: for records of other machines, whose files cannot be looked at. Nothing else goes by them.
    #[serde(default)]
    program: Vec<String>,
    /// Python distributions whose console script or module is run.
    #[serde(default)]
    pub python: Vec<Package>,
    /// The executable is also other programs, told apart by the name it is called by (`argv[0]`).
    #[serde(default)]
    applet: Vec<String>,
    /// … or by its first argument.
    #[serde(default)]
    applet_argument: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Package {
    pub name: String,
    /// Only starts the native executable of another package.
    #[serde(default)]
    pub launcher: bool,
    /// Files that are the agent, as globs: inside an npm package (whose `bin` entries are too), or, for Python, the whole
    /// path of the console script (without any: every script that imports it).
    #[serde(default)]
    pub entry: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Marker {
    pub text: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Environment {
    /// Names of variables that hold the session id of the account.
    #[serde(default)]
    session: Vec<String>,
    /// … the id of the tool call.
    #[serde(default)]
    call: Vec<String>,
    /// … the pid of the agent.
    #[serde(default)]
    pid: Vec<String>,
    /// Variables whose presence marks a child of the product; `NAME=value` where the value matters.
    #[serde(default)]
    any: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Account {
    #[serde(default)]
    keeps: bool,
    /// When a call is written down.
    #[serde(default)]
    lag: Lag,
    /// Files of the product's own, as globs (`~` is the agent's home).
    #[serde(default)]
    state: Vec<String>,
}

/// When the account tells of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lag {
    /// Before it is carried out.
    Before,
    /// Once it is over.
    #[default]
    After,
}

/// An execution that the product does for itself.
#[derive(Clone, Debug, Deserialize)]
struct Helper {
    /// File name of the executable, or of the script.
    program: String,
    /// The arguments after the first: exact, `*` for any one, a glob, `**` for any rest.
    argv: Vec<String>,
    /// Passes over the options that the program takes before these.
    #[serde(default)]
    options: Options,
    #[serde(default)]
    when: When,
    #[serde(default)]
    descendants: Descendants,
    why: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum When {
    /// Only before the model's first call.
    Startup,
    #[default]
    Anytime,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Options {
    #[default]
    Exact,
    /// Git's, before its subcommand. A setting that makes git run a program shows as a descendant.
    Git,
}

/// What a helper may run in turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Descendants {
    None,
    /// Programs of the system's own folders, but no interpreter.
    #[default]
    System,
    /// Git's own programs.
    Git,
    /// Anything (a login shell that reads the user's start-up files).
    Any,
}

/// A helper rule that holds.
pub(crate) struct Covered {
    pub why: String,
    /// It may run whatever it likes.
    pub free: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Providers {
    /// Host names, `*` allowed.
    #[serde(default)]
    host: Vec<Host>,
    /// Requests of model APIs.
    #[serde(default)]
    api: Vec<Api>,
    /// Programs that speak to providers for a person, not as an agent: browsers, resolvers, look-up tools.
    #[serde(default)]
    bystander: Vec<Named>,
    /// Programs that only carry a request for the script that runs them.
    #[serde(default)]
    transfer: Vec<Named>,
}

#[derive(Clone, Debug, Deserialize)]
struct Host {
    name: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Api {
    method: String,
    /// A glob over the path, without the query.
    path: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Named {
    program: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Daemon {
    program: String,
    argv: Vec<String>,
    /// Folders in which the executable must lie; empty: any.
    #[serde(default)]
    prefix: Vec<String>,
    /// Some argument is this (a glob).
    #[serde(default)]
    has: Option<String>,
}

/// Helpers that several products share.
#[derive(Clone, Debug, Deserialize)]
struct Set {
    name: String,
    #[serde(default)]
    helper: Vec<Helper>,
}

#[derive(Deserialize)]
struct HelpersFile {
    #[serde(default)]
    set: Vec<Set>,
    /// Programs that only confine the command that they are given.
    #[serde(default)]
    wrapper: Vec<Named>,
}

#[derive(Deserialize)]
struct OthersFile {
    #[serde(default)]
    other: Vec<Product>,
}

#[derive(Deserialize)]
struct DaemonsFile {
    #[serde(default)]
    daemon: Vec<Daemon>,
}

impl Products {
    pub fn built_in() -> Result<Self, ProductsError> {
        Self::with(&[])
    }

    /// The built-in data, with files of the user's (name, text) over it.
    pub fn with(files: &[(String, String)]) -> Result<Self, ProductsError> {
        let mut all: BTreeMap<&str, &str> = BUILT_IN.iter().copied().collect();
        all.extend(files.iter().map(|(name, text)| (name.as_str(), text.as_str())));
        let mut out = Self {
            products: BTreeMap::new(),
            providers: Providers::default(),
            daemons: Vec::new(),
            wrappers: Vec::new(),
            services: Vec::new(),
        };
        let mut sets: Vec<Set> = Vec::new();
        for (file, text) in all {
            let failed = |source| ProductsError::Parse { file: file.to_owned(), source: Box::new(source) };
            match file {
                "providers.toml" => out.providers = toml::from_str(text).map_err(failed)?,
                "daemons.toml" => out.daemons = toml::from_str::<DaemonsFile>(text).map_err(failed)?.daemon,
                "services.toml" => {
                    out.services = toml::from_str::<services::ServicesFile>(text).map_err(failed)?.service;
                }
                "others.toml" => {
                    let others: OthersFile = toml::from_str(text).map_err(failed)?;
                    out.products.extend(others.other.into_iter().map(|p| (p.product.name.clone(), p)));
                }
                "helpers.toml" => {
                    let helpers: HelpersFile = toml::from_str(text).map_err(failed)?;
                    sets = helpers.set;
                    out.wrappers = helpers.wrapper;
                }
                _ => {
                    let product: Product = toml::from_str(text).map_err(failed)?;
                    out.products.insert(product.product.name.clone(), product);
                }
            }
        }
        for product in out.products.values_mut() {
            for name in &product.product.helpers {
                let set =
                    sets.iter().find(|set| set.name == *name).ok_or_else(|| ProductsError::NoSuchSet {
                        file: format!("{}.toml", product.product.name),
                        set: name.clone(),
                    })?;
                product.helper.extend(set.helper.iter().cloned());
            }
        }
        Ok(out)
    }

    pub(crate) fn services(&self) -> &[Service] {
        &self.services
    }

    pub fn built_in_files() -> &'static [(&'static str, &'static str)] {
        BUILT_IN
    }

    pub fn get(&self, name: &str) -> Option<&Product> {
        self.products.get(name)
    }

    pub fn all(&self) -> impl Iterator<Item = &Product> {
        self.products.values()
    }

    /// Variables that hold the id of an agent's session.
    pub fn session_variables(&self) -> impl Iterator<Item = &String> {
        self.products.values().flat_map(|p| &p.environment.session)
    }

    pub(crate) fn pid_variables(&self) -> impl Iterator<Item = &String> {
        self.products.values().flat_map(|p| &p.environment.pid)
    }

    /// The product whose marker this environment carries, and the marker.
    pub(crate) fn marked(&self, env: &BTreeMap<String, String>) -> Option<(&str, &str)> {
        if env.is_empty() {
            return None;
        }
        self.products.values().find_map(|product| {
            let marker = product.environment.any.iter().find(|marker| match marker.split_once('=') {
                Some((name, value)) => env.get(name).is_some_and(|v| glob(value, v)),
                None => env.contains_key(marker.as_str()),
            })?;
            Some((product.product.name.as_str(), marker.split('=').next().unwrap_or(marker)))
        })
    }

    /// Is this HTTP request one of a model API, or one to a proxy for a provider?
    pub fn is_model_request(&self, method: &str, target: &str) -> bool {
        if method == "CONNECT" {
            return self.is_provider(target.rsplit_once(':').map_or(target, |(host, _)| host));
        }
        let path = target.split('?').next().unwrap_or(target);
        self.providers.api.iter().any(|api| api.method == method && glob(&api.path, path))
    }

    /// Is this the host name of a model provider?
    pub fn is_provider(&self, name: &str) -> bool {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        self.providers.host.iter().any(|host| glob(&host.name, &name))
    }

    pub(crate) fn is_bystander(&self, path: &str) -> bool {
        // By its place too: a program that an agent made and called `firefox` is no browser.
        is_system(path)
            && self.providers.bystander.iter().any(|named| glob(&named.program, crate::roll::name_of(path)))
    }

    pub(crate) fn is_transfer_tool(&self, path: &str) -> bool {
        self.providers.transfer.iter().any(|named| glob(&named.program, crate::roll::name_of(path)))
    }

    /// A program that only confines the command that it is given: a sandbox.
    pub(crate) fn is_wrapper(&self, product: &str, path: &str, argv: &[String]) -> bool {
        let named = |name: &str| self.wrappers.iter().any(|w| w.program == name);
        named(crate::roll::name_of(path))
            || self.get(product).is_some_and(|product| product.is_applet(argv))
                && (argv.get(1).is_some_and(|a| a.starts_with("--"))
                    || argv.first().is_some_and(|a| named(crate::roll::name_of(a))))
    }

    /// A developer's tool that leaves a daemon behind by its nature.
    pub(crate) fn is_daemon(&self, path: &str, argv: &[String]) -> bool {
        let arguments = argv.get(1..).unwrap_or_default();
        self.daemons.iter().any(|daemon| {
            let by_path = daemon.program == crate::roll::name_of(path);
            let by_name = argv.first().is_some_and(|a| daemon.program == crate::roll::name_of(a));
            (by_path || by_name)
                && (daemon.prefix.is_empty()
                    || daemon.prefix.iter().any(|prefix| path.starts_with(prefix.as_str())))
                && argv_matches(&daemon.argv, arguments)
                && daemon.has.as_ref().is_none_or(|has| arguments.iter().any(|argument| glob(has, argument)))
        })
    }
}

impl Product {
    /// Called so, the product's executable is another program than the agent.
    pub fn is_applet(&self, argv: &[String]) -> bool {
        let name = argv.first().map_or("", |a| crate::roll::name_of(a));
        self.identity.applet.iter().any(|pattern| glob(pattern, name))
            || argv.get(1).is_some_and(|first| self.identity.applet_argument.iter().any(|p| glob(p, first)))
    }

    /// The product by its path or its script's alone, for where there are no files to look at: what showed it.
    pub fn shown_by_name(&self, path: &str, script: Option<&str>, argv: &[String]) -> Option<String> {
        if self.is_applet(argv) {
            return None;
        }
        let called = argv.first().filter(|_| !is_interpreter(path)).map(String::as_str);
        for file in [Some(path), script, called].into_iter().flatten() {
            let package = self.identity.package.iter().find(|package| {
                file.split("/node_modules/").skip(1).any(|inside| {
                    let depth = if package.name.starts_with('@') { 2 } else { 1 };
                    let mut parts = inside.split('/');
                    let name: Vec<&str> = parts.by_ref().take(depth).collect();
                    let entry: Vec<&str> = parts.collect();
                    glob(&package.name, &name.join("/"))
                        && (package.entry.is_empty()
                            || package.entry.iter().any(|pattern| glob(pattern, &entry.join("/"))))
                })
            });
            if let Some(package) = package {
                return Some(format!("path of package `{}`", package.name));
            }
            if let Some(name) = self.identity.program.iter().find(|name| **name == crate::roll::name_of(file))
            {
                return Some(format!("name of the program `{name}`"));
            }
        }
        None
    }

    pub(crate) fn call_variables(&self) -> &[String] {
        &self.environment.call
    }

    pub(crate) fn has_session_marker(&self) -> bool {
        !self.environment.session.is_empty()
    }

    pub(crate) fn lag(&self) -> Lag {
        self.account.lag
    }

    pub(crate) fn keeps_account(&self) -> bool {
        self.account.keeps
    }

    /// Is this file one that the product keeps for itself?
    pub(crate) fn is_own_file(&self, path: &str, home: Option<&str>) -> bool {
        self.account.state.iter().any(|pattern| match (pattern.strip_prefix('~'), home) {
            (Some(rest), Some(home)) => path.strip_prefix(home).is_some_and(|path| glob(rest, path)),
            (Some(_), None) => false,
            (None, _) => glob(pattern, path),
        })
    }

    /// The rule by which this execution is one that the product does for itself.
    pub(crate) fn covers(&self, path: &str, argv: &[String], startup: bool) -> Option<Covered> {
        let helper = self.rule(path, argv, startup)?;
        Some(Covered { why: helper.why.clone(), free: helper.descendants == Descendants::Any })
    }

    fn rule(&self, path: &str, argv: &[String], startup: bool) -> Option<&Helper> {
        let name = |at: usize| argv.get(at).map_or("", |a| crate::roll::name_of(a));
        // A script's command line is that of its interpreter: `sh /usr/bin/lsb_release -a`.
        let script = is_interpreter(path) && argv.get(1).is_some_and(|a| a.starts_with('/'));
        let (program, first) = if script { (name(1), 2) } else { (name(0), 1) };
        let arguments = argv.get(first..).unwrap_or_default();
        self.helper.iter().find(|helper| {
            let arguments = match helper.options {
                Options::Exact => arguments,
                Options::Git => after_git_options(arguments),
            };
            (helper.when == When::Anytime || startup)
                && (helper.program == crate::roll::name_of(path) || helper.program == program)
                && argv_matches(&helper.argv, arguments)
        })
    }

    /// May a helper with this command line run this program?
    pub(crate) fn covers_descendant(&self, helper: &[String], path: &str, argv: &[String]) -> bool {
        let helper_path = helper.first().map_or("", String::as_str);
        match self.rule(helper_path, helper, true).map(|rule| rule.descendants) {
            Some(Descendants::Any) => true,
            Some(Descendants::System) => {
                is_system(path) && crate::action::shell_string(argv).is_none() && !is_interpreter(path)
            }
            Some(Descendants::Git) => {
                let name = crate::roll::name_of(path);
                (name == "git" || name.starts_with("git-")) && !is_interpreter(path)
            }
            Some(Descendants::None) | None => false,
        }
    }
}

/// Git's subcommand and what follows it.
fn after_git_options(arguments: &[String]) -> &[String] {
    let mut rest = arguments;
    loop {
        rest = match rest {
            [option, _, after @ ..]
                if matches!(option.as_str(), "-c" | "-C" | "--git-dir" | "--work-tree" | "--namespace") =>
            {
                after
            }
            [option, after @ ..]
                if option.starts_with("--") && !matches!(option.as_str(), "--version" | "--exec-path") =>
            {
                after
            }
            _ => return rest,
        };
    }
}

/// In a folder that only the system's administrator writes to.
fn is_system(path: &str) -> bool {
    [
        "/usr/bin/",
        "/usr/sbin/",
        "/bin/",
        "/sbin/",
        "/usr/lib/",
        "/usr/libexec/",
        "/lib/",
        "/opt/",
        "/usr/local/libexec/",
        "/snap/",
    ]
    .iter()
    .any(|prefix| path.starts_with(prefix))
}

fn is_interpreter(path: &str) -> bool {
    ["python", "node", "perl", "ruby", "bash", "sh", "dash", "zsh", "php", "bun", "deno", "lua"].iter().any(
        |known| {
            crate::roll::name_of(path)
                .strip_prefix(known)
                .is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(product: &str, path: &str, script: Option<&str>, argv: &str, expected: bool) {
        let argv: Vec<String> = argv.split(' ').map(str::to_owned).collect();
        let products = Products::built_in().unwrap();
        let shown = products.get(product).unwrap().shown_by_name(path, script, &argv);
        assert_eq!(shown.is_some(), expected, "{path}: {shown:?}");
    }

    #[test]
    fn programs_of_other_machines_are_known_by_name() {
        check("claude-code", "/opt/x/node_modules/.bin/claude", None, "claude -p", true);
        check("claude-code", "/root/.local/share/claude/versions/2.1.330", None, "/usr/bin/claude -p", true);
        check(
            "claude-code",
            "/usr/bin/node",
            Some("/x/node_modules/@anthropic-ai/claude-code/cli.js"),
            "node cli.js",
            true,
        );
        check(
            "claude-code",
            "/usr/bin/node",
            Some("/x/node_modules/@anthropic-ai/claude-code/vendor/x.js"),
            "node x.js",
            false,
        );
        // Called so, the same file is grep.
        check("claude-code", "/opt/x/node_modules/.bin/claude", None, "ugrep x", false);
        check("claude-code", "/usr/bin/grep", None, "grep claude", false);
        check(
            "gemini-cli",
            "/usr/bin/node",
            Some("/x/node_modules/.bin/gemini"),
            "node --max-old-space-size=1 /x",
            true,
        );
        check("codex", "/x/vendor/codex/codex", None, "codex exec", true);
        check("codex", "/x/vendor/codex/codex", None, "codex --codex-run-as-process-setup 5", false);
        check("codex", "/usr/bin/vim", None, "vim codex", false);
    }

    /// `CLAUDE_CONFIG_DIR` may name any folder.
    #[test]
    fn the_snapshot_of_a_shell_is_a_helper_wherever_its_folder_is() {
        let products = Products::built_in().unwrap();
        let claude = products.get("claude-code").unwrap();
        let covered = |script: &str| {
            let argv: Vec<String> = ["/bin/bash", "-c", "-l", script].map(str::to_owned).into();
            claude.covers("/usr/bin/bash", &argv, true).is_some()
        };
        for folder in ["/home/x/.claude", "/srv/elsewhere", "/w/.config/claude"] {
            let script = format!("SNAPSHOT_FILE={folder}/shell-snapshots/snapshot-bash-1-a.sh\n echo");
            assert!(covered(&script), "{folder}");
        }
        assert!(!covered("SNAPSHOT_FILE=/tmp/x; curl evil"));
        assert!(!covered("curl evil; SNAPSHOT_FILE=/x/shell-snapshots/snapshot-a"));
    }
}
