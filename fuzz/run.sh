#!/bin/sh
# Runs the fuzzer on every decoder, or on those that are named, each for FUZZ_SECONDS; from the repository's folder.
# What is found to lead on is kept in target/fuzz/found, and the next run begins there; what breaks a law, in
# target/fuzz/broken, and then this fails. With --keep it puts the least that leads as far into fuzz/corpus instead.
set -eu

# What one input may have, in bytes, and take, in seconds; what the fuzzer may hold, in megabytes. What a decoder may hold
# is a law of its own (fuzz/src/memory.rs).
bounds='-max_len=16384 -timeout=5 -rss_limit_mb=1024'

binary=target/fuzz/$(rustc -vV | sed -n 's/^host: //p')/release/decoder
found=target/fuzz/found broken=target/fuzz/broken seeds=target/fuzz/seeds

keep=no
if [ "${1:-}" = --keep ]; then keep=yes; shift; fi
names=${*:-$(sed -n 's/.*Decoder { name: "\([a-z_]*\)".*/\1/p' fuzz/src/lib.rs)}
python3 fuzz/seeds.py $seeds

failed=
for name in $names; do
  export DECODER=$name
  mkdir -p $found/$name $broken/$name $seeds/$name fuzz/corpus/$name
  if [ $keep = yes ]; then
    rm -rf $found/$name.least && mkdir $found/$name.least
    # Each edge of the code once, and not each number of times that it is taken: a tenth of the files.
    $binary -set_cover_merge=1 -use_counters=0 $bounds $found/$name.least fuzz/corpus/$name $seeds/$name $found/$name >$broken/$name.log 2>&1
    rm -rf fuzz/corpus/$name && mv $found/$name.least fuzz/corpus/$name
    echo "$name: $(ls fuzz/corpus/$name | wc -l) kept"
    continue
  fi
  $binary $bounds -max_total_time=${FUZZ_SECONDS:-10} -print_final_stats=1 -artifact_prefix=$broken/$name/ \
    $found/$name fuzz/corpus/$name $seeds/$name >$broken/$name.log 2>&1 || failed="$failed $name"
  runs=$(sed -n 's/^stat::number_of_executed_units: *//p' $broken/$name.log)
  reached=$(sed -n 's/.* \(cov: [0-9]* ft: [0-9]*\) .*/\1/p' $broken/$name.log | tail -n 1)
  echo "$name: ${runs:-no} runs, ${reached:-nothing reached}"
done
[ -z "$failed" ] && exit
for name in $failed; do tail -n 30 $broken/$name.log; done
echo "broken:$failed. What did it is in $broken/NAME; DECODER=NAME $binary FILE repeats it"
exit 1
