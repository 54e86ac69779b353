//! The real agents: which version, and how each is started so that it speaks to a scripted model only.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::home::Home;
use crate::model::Model;
use crate::run::{Ran, RunError, isolated, run};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Agent {
    ClaudeCode,
    Codex,
    GeminiCli,
    OpenCode,
}

impl Agent {
    pub const ALL: [Self; 4] = [Self::ClaudeCode, Self::Codex, Self::GeminiCli, Self::OpenCode];

    /// Long enough for a first start on a busy machine.
    pub const PATIENCE: Duration = Duration::from_secs(180);

    /// As in `crates/engine/products`.
    pub fn name(self) -> &'static str {
        match self {
            Self::ClaudeCode => "claude-code",
            Self::Codex => "codex",
            Self::GeminiCli => "gemini-cli",
            Self::OpenCode => "opencode",
        }
    }

    /// The npm package.
    pub fn package(self) -> &'static str {
        match self {
            Self::ClaudeCode => "@anthropic-ai/claude-code",
            Self::Codex => "@openai/codex",
            Self::GeminiCli => "@google/gemini-cli",
            Self::OpenCode => "opencode-ai",
        }
    }

    pub fn version(self) -> &'static str {
        match self {
            Self::ClaudeCode => "2.1.330",
            Self::Codex => "0.169.0",
            Self::GeminiCli => "0.61.0",
            Self::OpenCode => "1.18.33",
        }
    }

    /// The command that the package installs.
    pub fn command_name(self) -> &'static str {
        match self {
            Self::ClaudeCode => "claude",
            Self::Codex => "codex",
            Self::GeminiCli => "gemini",
            Self::OpenCode => "opencode",
        }
    }

    /// The step that npm runs after the installation, run here by hand: npm asks before it runs it, from version 11.19 on.
    pub(crate) fn after_install(self) -> Option<&'static str> {
        match self {
            Self::ClaudeCode => Some("install.cjs"),
            Self::OpenCode => Some("postinstall.mjs"),
            Self::Codex | Self::GeminiCli => None,
        }
    }
}

/// An agent that is on this machine.
#[derive(Clone, Debug)]
pub struct Installed {
    pub agent: Agent,
    /// Holds `node_modules`.
    pub folder: PathBuf,
    /// What a user types: the link in `node_modules/.bin`.
    pub program: PathBuf,
    /// The file that the agent's root process executes in the end; for a script, the script.
    pub executable: PathBuf,
}

impl Installed {
    pub(crate) fn at(agent: Agent, folder: &Path) -> io::Result<Self> {
        let modules = folder.join("node_modules");
        let program = modules.join(".bin").join(agent.command_name());
        let executable = match agent {
            // `codex.js` only starts this one.
            Agent::Codex => codex_native(&modules)?,
            Agent::ClaudeCode | Agent::GeminiCli | Agent::OpenCode => fs::canonicalize(&program)?,
        };
        Ok(Self { agent, folder: folder.to_owned(), program, executable })
    }

    pub fn version(&self) -> &'static str {
        self.agent.version()
    }

    /// The command line that gives the agent this prompt, in this folder. Writes its settings into `home`.
    pub fn command(&self, dir: &Path, home: &Home, model: &Model, prompt: &str) -> io::Result<Command> {
        let mut command = isolated(&self.program, dir, home.path());
        self.configure(&mut command, home.path(), &model.url())?;
        match self.agent {
            Agent::ClaudeCode => {
                command.args(["-p", prompt, "--dangerously-skip-permissions", "--output-format", "json"])
            }
            Agent::Codex => {
                let provider = format!(
                    r#"model_providers.mock={{name="mock",base_url="{}/v1",env_key="OPENAI_API_KEY",wire_api="responses"}}"#,
                    model.url(),
                );
                command.args(["exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"]);
                command.args(["-c", "model_provider=mock", "-c", &provider, "-m", "gpt-5", prompt])
            }
            Agent::GeminiCli => command.args([
                "-m",
                "gemini-2.5-pro",
                "--approval-mode",
                "yolo",
                "--output-format",
                "stream-json",
                "-p",
                prompt,
            ]),
            Agent::OpenCode => command.args(["run", prompt]),
        };
        Ok(command)
    }

    /// Runs the agent to its end.
    pub fn run(
        &self,
        dir: &Path,
        home: &Home,
        model: &Model,
        prompt: &str,
        patience: Duration,
    ) -> Result<Ran, RunError> {
        let command = self.command(dir, home, model, prompt).map_err(RunError::Prepare)?;
        run(command, patience)
    }

    /// Sends its requests to the model, and nothing anywhere else.
    fn configure(&self, command: &mut Command, home: &Path, url: &str) -> io::Result<()> {
        match self.agent {
            Agent::ClaudeCode => {
                command.envs([
                    ("ANTHROPIC_BASE_URL", url),
                    ("ANTHROPIC_API_KEY", "x"),
                    ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
                    ("DISABLE_TELEMETRY", "1"),
                    ("DISABLE_ERROR_REPORTING", "1"),
                    ("DISABLE_AUTOUPDATER", "1"),
                    // As root it refuses to work without asking, unless told that this is a sandbox.
                    ("IS_SANDBOX", "1"),
                ]);
                Ok(())
            }
            Agent::Codex => {
                let codex_home = home.join(".codex");
                fs::create_dir_all(&codex_home)?;
                command.env("CODEX_HOME", codex_home).env("OPENAI_API_KEY", "x");
                Ok(())
            }
            Agent::GeminiCli => {
                command.env("GEMINI_API_KEY", "x").env("GOOGLE_GEMINI_BASE_URL", url);
                let settings = json!({
                    "security": {"auth": {"selectedType": "gemini-api-key"}, "folderTrust": {"enabled": false}},
                    "privacy": {"usageStatisticsEnabled": false},
                    "telemetry": {"enabled": false},
                    "general": {"enableAutoUpdate": false, "enableAutoUpdateNotification": false},
                });
                settings_file(&home.join(".gemini/settings.json"), &settings)
            }
            Agent::OpenCode => {
                let file = home.join(".config/opencode/opencode.json");
                command.envs([
                    ("OPENCODE_DISABLE_AUTOUPDATE", "1"),
                    ("OPENCODE_DISABLE_MODELS_FETCH", "1"),
                    ("OPENCODE_DISABLE_LSP_DOWNLOAD", "1"),
                ]);
                let options = json!({"baseURL": format!("{url}/v1"), "apiKey": "x"});
                let provider =
                    json!({"npm": "@ai-sdk/openai-compatible", "options": options, "models": {"m1": {}}});
                let settings = json!({
                    "provider": {"mock": provider}, "model": "mock/m1", "autoupdate": false, "share": "disabled",
                    "permission": {"edit": "allow", "bash": "allow", "webfetch": "allow", "external_directory": "allow"},
                });
                settings_file(&file, &settings)
            }
        }
    }
}

fn settings_file(path: &Path, settings: &Value) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, settings.to_string())
}

/// `node_modules/@openai/codex-linux-*/vendor/*/bin/codex`.
fn codex_native(modules: &Path) -> io::Result<PathBuf> {
    for package in fs::read_dir(modules.join("@openai"))? {
        let Ok(targets) = fs::read_dir(package?.path().join("vendor")) else { continue };
        for target in targets {
            let file = target?.path().join("bin/codex");
            if file.is_file() {
                return fs::canonicalize(file);
            }
        }
    }
    Err(io::Error::new(io::ErrorKind::NotFound, format!("no native codex under {}", modules.display())))
}
