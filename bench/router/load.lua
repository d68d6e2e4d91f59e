-- Pre-signed webhooks, each with its own X-Request-Id and X-Forwarded-For.
local bodies, signatures, count = {}, {}, 0
local id = 0
local thread_number = 0
function setup(thread) thread:set("number", thread_number) thread_number = thread_number + 1 end
function init(args)
  local file = assert(io.open(args[1], "rb"))
  for line in file:lines() do
    count = count + 1
    signatures[count] = line:sub(1, 64)
    bodies[count] = line:sub(66)
  end
  file:close()
  math.randomseed(number * 7919 + 17)
  id = math.random(1, count)
end
local format = string.format
function request()
  id = id + 1
  local at = id % count + 1
  local body = bodies[at]
  return format("POST /webhook HTTP/1.1\r\nHost: hooks.example.com\r\nUser-Agent: facebookexternalua\r\nAccept: */*\r\nContent-Type: application/json\r\nX-Hub-Signature-256: sha256=%s\r\nX-Request-Id: %08x%08x%08x%08x\r\nX-Real-Ip: 173.252.%d.%d\r\nX-Forwarded-For: 173.252.%d.%d\r\nX-Forwarded-Host: hooks.example.com\r\nX-Forwarded-Port: 443\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Scheme: https\r\nX-Scheme: https\r\nContent-Length: %d\r\n\r\n%s",
    signatures[at], id, id * 31 % 4294967291, id * 8191 % 4294967279, number, id % 256, id % 251, id % 256, id % 251, #body, body)
end
function done(summary, latency)
  local errors = summary.errors
  io.write(format("RESULT requests=%d microseconds=%d p50=%.3f p99=%.3f p999=%.3f failed=%d\n", summary.requests,
    summary.duration, latency:percentile(50) / 1000, latency:percentile(99) / 1000, latency:percentile(99.9) / 1000,
    errors.status + errors.connect + errors.read + errors.write + errors.timeout))
end
