-- One script for every wrk workload: arguments are METHOD BODY-BYTES PIPELINE-DEPTH.
-- "{number}" in a header is another number in each request.
-- At the end it prints one line of figures, which is easier to read back than wrk's own text.

init = function(args)
   wrk.method = args[1]
   local size = tonumber(args[2])
   local depth = tonumber(args[3])
   if size > 0 then
      wrk.body = string.rep("x", size)
      wrk.headers["Content-Type"] = "application/octet-stream"
   end
   local one = wrk.format()
   local before, after = one:match("^(.-){number}(.*)$")
   if before then
      local number = 0
      request = function()
         number = number + 1
         return before .. string.format("%012d", number) .. after
      end
   elseif depth > 1 then
      local all = string.rep(one, depth)
      request = function() return all end
   end
end

done = function(summary, latency, requests)
   io.write(string.format(
      "figures requests=%d seconds=%.6f bytes=%.0f p50_us=%d p99_us=%d max_us=%d errors=%d statuses=%d\n",
      summary.requests, summary.duration / 1e6, summary.bytes,
      latency:percentile(50), latency:percentile(99), latency.max,
      summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
      summary.errors.status))
end
