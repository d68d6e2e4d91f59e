-- Pre-signed webhooks, read line by line from a file, each with its own X-Request-Id and X-Forwarded-For.
-- Arguments: the file, whose lines are equally long, and the line to begin with. After its end it begins anew.
local bodies, line_bytes
local id = 0
local threads = {}
sent, wrapped = 0, 0
function setup(thread) threads[#threads + 1] = thread end
function init(args)
  bodies = assert(io.open(args[1], "rb"))
  bodies:setvbuf("full", 1024 * 1024)
  line_bytes = #bodies:read("*l") + 1
  id = tonumber(args[2])
  bodies:seek("set", id * line_bytes)
end
local format = string.format
function request()
  local line = bodies:read(line_bytes)
  if not line then
    wrapped = wrapped + 1
    bodies:seek("set", 0)
    line = bodies:read(line_bytes)
  end
  id = id + 1
  sent = sent + 1
  return format("POST /webhook HTTP/1.1\r\nHost: hooks.example.com\r\nUser-Agent: facebookexternalua\r\nAccept: */*\r\nContent-Type: application/json\r\nX-Hub-Signature-256: sha256=%s\r\nX-Request-Id: %08x%08x%08x%08x\r\nX-Real-Ip: 173.252.%d.%d\r\nX-Forwarded-For: 173.252.%d.%d\r\nX-Forwarded-Host: hooks.example.com\r\nX-Forwarded-Port: 443\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Scheme: https\r\nX-Scheme: https\r\nContent-Length: %d\r\n\r\n%s",
    line:sub(1, 64), id, id * 31 % 4294967291, id * 8191 % 4294967279, id * 127 % 65521, id % 256, id % 251, id % 256, id % 251, line_bytes - 66, line:sub(66, line_bytes - 1))
end
function done(summary, latency)
  local errors = summary.errors
  io.write(format("RESULT requests=%d sent=%d wrapped=%d microseconds=%d p50=%.3f p99=%.3f p999=%.3f refused=%d broken=%d\n",
    summary.requests, threads[1]:get("sent"), threads[1]:get("wrapped"), summary.duration, latency:percentile(50) / 1000,
    latency:percentile(99) / 1000, latency:percentile(99.9) / 1000, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout))
end
