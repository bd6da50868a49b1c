-- The load of bench.py: POSTs, the same again and again, or each another, or some in turn. The numbers go to stdout as the
-- last line, in JSON.
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
wrk.headers["authorization"] = "Bearer " .. os.getenv("BENCH_KEY")

local before, after = os.getenv("BENCH_BODY"):match("^(.*)SEED(.*)$")
local asks, turns = os.getenv("BENCH_ASKS"), tonumber(os.getenv("BENCH_TURNS"))
local from = tonumber(os.getenv("BENCH_FROM"))
wrk.body = before .. string.format("%012d", 0) .. after

if asks ~= "same" then
  -- As long as a worker of this load lives, and among many of them, hardly ever the same.
  local seed = asks == "new" and os.time() % 100000 * 10000000 or from
  request = function()
    seed = seed + 1
    local number = asks == "turns" and seed % turns or seed
    return wrk.format(nil, nil, nil, before .. string.format("%012d", number) .. after)
  end
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '{"requests":%d,"seconds":%.6f,"errors":%d,"p50":%d,"p99":%d}\n',
    summary.requests, summary.duration / 1e6, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
