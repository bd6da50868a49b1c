-- The load of bench.py: one POST, again and again, or, where the body has a SEED, another one each time. The numbers go to stdout as the last line, in JSON.
wrk.method = "POST"
wrk.body = os.getenv("BENCH_BODY")
wrk.headers["content-type"] = "application/json"
wrk.headers["authorization"] = "Bearer " .. os.getenv("BENCH_KEY")

local before, after = wrk.body:match("^(.*)SEED(.*)$")
if before then
  -- As long as a worker of this load lives, and among many of them, hardly ever the same.
  local seed = os.time() % 100000 * 10000000
  request = function()
    seed = seed + 1
    return wrk.format(nil, nil, nil, before .. string.format("%012d", seed) .. after)
  end
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '{"requests":%d,"seconds":%.6f,"errors":%d,"p50":%d,"p99":%d}\n',
    summary.requests, summary.duration / 1e6, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
