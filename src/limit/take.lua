-- One claim: refused or charged. The sums are those of bucket.rs, window.rs and held.rs.
-- KEYS: what was used; the claims that are held, each by when its lease ends. The low six bits of that time say which
-- bounds were charged, and it is negative if an observed limit of requests at once was not among them.
-- ARGV: id; numbers in one string, since a proxy handles each argument by itself: lease, how long to keep the keys, 1 to
-- charge without asking; then for each bound its limit, what is claimed, and 1 to enforce it; without a limit -1, 0, 0.
-- Gives, in one string: now; when the claim was made; the bounds charged, or -1 for a refusal; how many are held; what
-- was used.
local call,f,min,max=redis.call,math.floor,math.min,math.max
local A={}
for n in ARGV[2]:gmatch'%S+' do A[#A+1]=n+0 end
local used,held,id,lease,force=KEYS[1],KEYS[2],ARGV[1],A[1],A[3]==1
local t=call('TIME')
local now=t[1]*1e6+t[2]

-- Number k of what was used, as a whole number from 0 to top: nan is not above 0. What was beyond is stored, or else
-- it would be as far ahead at the next claim.
local F={'r','t','H','h','D','d','M','m'}
local h=call('HMGET',used,unpack(F))
local function int(k,top)
  local v=tonumber(h[k]) or 0
  if v>top then call('HSET',used,F[k],top) end
  return v>=0 and f(min(v,top)) or 0
end

-- The hour, the day and the month.
local day=f(now/864e8)
local d=day+719468
local e=f(d/146097)
d=d%146097
local y=f((d-f(d/1460)+f(d/36524)-f(d/146096))/365)
d=d-365*y-f(y/4)+f(y/100)
local ids={f(now/36e8),day,12*(400*e+y)+f((5*d+2)/153)}

call('ZREMRANGEBYSCORE',held,-now,now)
local count=call('ZCOUNT',held,0,now+2e11)
local old,new,bits,sign,refused={},{},0,1,false
for i=0,5 do
  local top,n,fits=A[3*i+4],A[3*i+5]
  local limited=top>=0
  if i<2 then
    local v=int(i+1,limited and now+2*top or 4e15)
    local to,most=max(v,now)+n,now+top*(force and 2 or 1)
    fits=to<=most
    old[i+1],new[i+1]=v,limited and (fits or force) and min(to,most) or v
  elseif i==2 then
    fits=force or count<top
    sign=(fits or not limited) and 1 or -1
  else
    local k=2*i-3
    local v,w=int(k,ids[i-2]+1),int(k+1,4e15)
    if v<ids[i-2] then v,w=ids[i-2],0 end
    fits=w+n<=top
    old[k],old[k+1],new[k],new[k+1]=v,w,v,min(w+n,4e15)
  end
  if limited then
    if fits or i>2 then bits=bits+2^i end
    refused=refused or not fits and not force and A[3*i+6]==1
  end
end

local function answer(at,charged,state)
  return ('%.0f '):rep(12):format(now,at,charged,count,unpack(state))
end

-- A claim that is repeated was charged before.
local mine=call('ZSCORE',held,id)
if mine then
  mine=math.abs(mine)
  return answer(mine-mine%64-lease,mine%64,old)
end
if refused then return answer(now,-1,old) end
local set={}
for k,v in ipairs(new) do set[2*k-1],set[2*k]=F[k],v end
call('HSET',used,unpack(set))
local till=now+lease
call('ZADD',held,sign*(till-till%64+bits),id)
call('PEXPIRE',used,A[2])
call('PEXPIRE',held,A[2])
return answer(now,bits,new)
