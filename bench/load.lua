-- What wrk sends: the requests of a file, one after the other, over and over; at the end the figures as JSON.
--
-- Argument: a file, of each request one line with four fields between tabs: method, path, headers (NAME: VALUE
-- between \1), body.
local sent = {}
local at = 0

function init(arguments)
  for line in io.lines(arguments[1]) do
    local method, path, headers, body = line:match("^(.-)\t(.-)\t(.-)\t(.*)$")
    local fields = {}
    for name, value in headers:gmatch("([^\1]-): ([^\1]*)") do
      fields[name] = value
    end
    sent[#sent + 1] = wrk.format(method, path, fields, body)
  end
end

function request()
  at = at % #sent + 1
  return sent[at]
end

function done(summary, latency)
  io.write(string.format(
    '{"requests": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, "refused": %d, "broken": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    summary.errors.status,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  ))
end
