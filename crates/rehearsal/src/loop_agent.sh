#!/bin/bash
# An agent around curl. It reads JSON with sed, so commands must have no quotes and no backslashes.
url=$1
messages="{\"role\":\"user\",\"content\":\"$2\"}"
tools='[{"type":"function","function":{"name":"bash","parameters":{"type":"object"}}}]'
while true; do
  answer=$(curl -s "$url/v1/chat/completions" -H 'content-type: application/json' \
    -d "{\"model\":\"m1\",\"messages\":[$messages],\"tools\":$tools}") || exit 1
  command=$(printf %s "$answer" | sed -nE 's/.*\\"command\\":\\"([^"\\]*)\\".*/\1/p')
  [ -n "$command" ] || exit 0
  bash -c "$command" >/dev/null 2>&1
  messages="$messages,{\"role\":\"assistant\",\"tool_calls\":[{}]},{\"role\":\"tool\",\"content\":\"exit $?\"}"
done
