-- The end of a claim: what was used instead of what was claimed, and the lease is over. Sent twice, it counts once.
-- Gives now, or 0 if it does not count.
-- ARGV: id; numbers in one string: how long to keep the keys; then for each bucket its depth or -1, and for each budget the window that was
-- charged or -1, each followed by what to add.
local call,f,min,max=redis.call,math.floor,math.min,math.max
local used,held,id,A=KEYS[1],KEYS[2],ARGV[1],{}
for n in ARGV[2]:gmatch'%S+' do A[#A+1]=n+0 end
local mine=call('ZSCORE',held,id)
if not mine then return 0 end
call('ZREM',held,id)
local t=call('TIME')
local now,bits=t[1]*1e6+t[2],math.abs(mine)%64

local function int(v,top)
  v=tonumber(v) or 0
  return v>=0 and f(min(v,top)) or 0
end

local h=call('HMGET',used,'r','t','H','h','D','d','M','m')
for i,bit in ipairs{1,2,8,16,32} do
  local at,n,k,v=A[2*i],A[2*i+1]
  if n==0 or at<0 or f(bits/bit)%2==0 then
    k=nil
  elseif i<3 then
    k,v=('rt'):sub(i,i),int(h[i],now+2*at)
    if n>0 then v=min(max(v,now)+n,now+2*at) elseif v>now then v=max(v+n,now) end
  elseif int(h[2*i-3],4e15)==at then
    k,v=('hdm'):sub(i-2,i-2),max(min(int(h[2*i-2],4e15)+n,4e15),0)
  end
  if k then call('HSET',used,k,v) end
end
call('PEXPIRE',used,A[1])
return now
