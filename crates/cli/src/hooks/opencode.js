// Muster's gate for OpenCode: each tool call is asked about before it runs. Written by `muster hooks install`; what changes
// or removes it without `muster hooks uninstall` is a finding.
import { spawn } from "node:child_process"

const command = /*COMMAND*/[]

const ask = (event) =>
  new Promise((resolve) => {
    let told = ""
    const child = spawn(command[0], command.slice(1), { stdio: ["pipe", "ignore", "pipe"] })
    child.on("error", () => resolve({ code: 2, told: "the gate cannot be asked" }))
    child.stderr.on("data", (data) => (told += data))
    child.stdin.on("error", () => {})
    child.on("close", (code) => resolve({ code, told }))
    child.stdin.end(JSON.stringify(event))
  })

export const Muster = async ({ directory }) => ({
  "tool.execute.before": async (input, output) => {
    const { code, told } = await ask({
      hook_event_name: "tool.execute.before",
      tool_name: input.tool,
      tool_use_id: input.callID,
      session_id: input.sessionID,
      cwd: directory,
      tool_input: output.args,
    })
    if (code !== 0) throw new Error(told.trim() || "denied by policy")
  },
})
