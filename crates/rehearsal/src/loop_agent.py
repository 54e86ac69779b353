"""An agent in thirty lines: asks a chat model, runs the commands it wants, until it wants no more."""
import json
import subprocess
import sys
import urllib.request

url, prompt = sys.argv[1:3]
tools = [{"type": "function", "function": {
    "name": "bash",
    "description": "Run a command in bash.",
    "parameters": {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]},
}}]
messages = [{"role": "system", "content": "You are an agent."}, {"role": "user", "content": prompt}]

while True:
    body = json.dumps({"model": "m1", "messages": messages, "tools": tools}).encode()
    request = urllib.request.Request(url + "/v1/chat/completions", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        message = json.load(response)["choices"][0]["message"]
    messages.append(message)
    calls = message.get("tool_calls")
    if not calls:
        print(message["content"])
        break
    for call in calls:
        command = json.loads(call["function"]["arguments"])["command"]
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120)
        output = f"exit {done.returncode}\n{done.stdout}{done.stderr}"
        messages.append({"role": "tool", "tool_call_id": call["id"], "content": output})
