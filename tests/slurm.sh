#!/usr/bin/env bash
# gen-batch as an array of a real Slurm on this machine: slurmctld, slurmd and munge of a private
# configuration in a folder of its own, nothing of the system's is used or changed. 40 jobs in 4 tasks; one
# task is killed in the middle and queued again, another one is told that its time is nearly over, stops by
# itself and is queued again, and all results must be there once.
#   tests/slurm.sh BUILD
# The second is signalled as Slurm does before a time limit; with HT_SLURM_LIMIT=1 by a limit of one minute,
# which Slurm looks at twice a minute.
# 77: a program is missing (packages slurmctld slurmd slurm-client munge), or this user is not root, who
# starts slurmd.
set -uo pipefail
self=$(readlink -f -- "${BASH_SOURCE[0]}")
root=${self%/tests/*}
build=$(readlink -f -- "${1:-$root/build}")
program=$build/apps/gen-batch/gen-batch
jobs=40

skip() { printf 'SKIPPED: %s: gen-batch has NOT been tested under Slurm\n' "$*"; exit 77; }
for name in slurmctld slurmd sbatch scontrol squeue munged; do
    PATH=$PATH:/usr/sbin command -v "$name" >/dev/null || skip "there is no $name"
done
((EUID == 0)) || skip 'not root'
[[ -x $program ]] || { echo "no $program"; exit 1; }
PATH=$PATH:/usr/sbin

work=$(mktemp -d)
pids=() id=''
through() { [[ -z $(squeue -h -j "$id" -t PENDING,RUNNING,COMPLETING,CONFIGURING) ]]; }
finish() {
    if [[ -n $id ]] && ! through; then
        scancel "$id"
        await 20 through
    fi
    ((${#pids[@]} == 0)) || kill "${pids[@]}" 2>/dev/null
    wait
    rm -rf -- "$work"
}
trap finish EXIT
fail() {
    printf 'FAILED: %s\n' "$*"
    tail -n 20 "$work"/*.log "$work"/log/* 2>/dev/null
    exit 1
}

# Wait until a command succeeds, so many seconds at most.
await() {
    local seconds=$1 begin=$SECONDS
    shift
    until "$@" >/dev/null 2>&1; do
        ((SECONDS - begin < seconds)) || return 1
        sleep 0.2
    done
}

host=$(hostname -s)
port=$((20000 + RANDOM % 20000))
mkdir -m 755 "$work"/{state,spool,log} && chmod 755 "$work"
head -c 1024 /dev/urandom >"$work/munge.key" && chmod 600 "$work/munge.key"
cat >"$work/slurm.conf" <<END
ClusterName=halftone
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$work/munge.socket,cred_expire=5
CryptoType=crypto/munge
SlurmctldPort=$port
SlurmdPort=$((port + 1))
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
SlurmctldLogFile=$work/slurmctld.log
SlurmdLogFile=$work/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
ReturnToService=2
MpiDefault=none
KillWait=2
JobRequeue=1
RequeueExit=137
MinJobAge=3600
NodeName=$host NodeAddr=127.0.0.1 CPUs=4 State=UNKNOWN
PartitionName=main Nodes=$host Default=YES MaxTime=INFINITE State=UP
END
export SLURM_CONF=$work/slurm.conf

munged -F --force --key-file="$work/munge.key" --socket="$work/munge.socket" \
    --pid-file="$work/munge.pid" --log-file="$work/munged.log" --seed-file="$work/munge.seed" \
    >/dev/null 2>&1 &
pids+=($!)
await 20 test -S "$work/munge.socket" || fail 'munged did not start'
slurmctld -D -f "$SLURM_CONF" >/dev/null 2>&1 &
pids+=($!)
slurmd -D -f "$SLURM_CONF" -N "$host" >/dev/null 2>&1 &
pids+=($!)
ready() { [[ $(sinfo -h -o %T) == idle ]]; }
await 60 ready || fail 'no idle node'

# Every job takes long enough that the task can be met at work.
cat >"$work/jobs.jsonl" <<END
{"defaults": {"model": "$root/tests/data/models/tiny-pixart", "width": 64, "height": 64, "steps": 40}}
{"prompt": "a red ball", "matrix": {"seed": "1-$jobs"}}
END
cat >"$work/batch" <<END
#!/bin/bash
echo \$\$ >"$work/pid-\$SLURM_ARRAY_TASK_ID"
exec "$program" "\$@"
END
chmod +x "$work/batch"
cd "$work" || exit 1
# Only what the tasks need is in their environment, as on a cluster.
id=$(HALFTONE_BATCH=$work/batch HALFTONE_CACHE=$work/cache LP_NUM_THREADS=0 sbatch --parsable \
    --array=1-4 --output="$work/log/%a.log" "$root/apps/gen-batch/halftone.sbatch" \
    jobs.jsonl out) || fail 'sbatch'

lines() { cat "$1" 2>/dev/null | wc -l; }
begun() { (($(lines "out/results-$1-of-4.jsonl") >= $2)); }
share=$((jobs / 4))

# Task 3 is held between two jobs until its signal has come.
await 120 begun 3 2 || fail 'the third task did not begin'
late=$(<pid-3)
kill -STOP "$late" || fail 'stop'
waits() { (((0x$(awk '$1 == "ShdPnd:" {print $2}' "/proc/$late/status") & 1 << 14) != 0)); }

await 120 begun 2 3 || fail 'the second task did not begin'
victim=$(<pid-2)
kill -9 "$victim" || fail 'kill'
before=$(lines out/results-2-of-4.jsonl)
echo "killed task 2 after $before of its $share jobs"
((before < share)) || fail 'the second task was through before it was killed'

if [[ -n ${HT_SLURM_LIMIT:-} ]]; then
    scontrol update "JobId=${id}_3" TimeLimit=1 || fail 'no time limit'
else
    scancel --batch --signal=USR1 "${id}_3" || fail 'no signal'
fi
await 70 waits || fail "task 3 was not told to stop: $(scontrol show job "${id}_3")"
before=$(lines out/results-3-of-4.jsonl)
kill -CONT "$late" || fail 'continue'
[[ -n ${HT_SLURM_LIMIT:-} ]] && scontrol update "JobId=${id}_3" TimeLimit=60
((before < share)) || fail 'the third task was through before it was told to stop'
ended() { ! kill -0 "$late"; }
await 60 ended || fail 'the third task does not stop'
after=$(lines out/results-3-of-4.jsonl)
((after <= before + 1)) || fail "task 3 did $((after - before)) more jobs after it was told to stop"
echo "task 3 stopped by itself after $after of its $share jobs"

requeued() { scontrol show job "${id}_$1" | grep -q 'Restarts=1 '; }
for task in 2 3; do
    await 60 requeued "$task" || fail "task $task was not queued again: $(scontrol show job "${id}_$task")"
done
await 300 through || fail "not through: $(squeue)"
for task in 1 2 3 4; do
    scontrol show job "${id}_$task" | grep -q 'JobState=COMPLETED' ||
        fail "task $task: $(scontrol show job "${id}_$task")"
done

for task in 2 3; do
    [[ $(lines "out/results-$task-of-4.jsonl") == "$share" ]] || fail "task $task did something twice"
done
"$program" merge out || fail 'merge'
[[ $(lines out/results.jsonl) == "$jobs" ]] || fail 'not a line per job'
[[ $(grep -o '"key":"[^"]*"' out/results.jsonl | sort -u | wc -l) == "$jobs" ]] || fail 'a job twice'
[[ $(grep -c '"status":"done"' out/results.jsonl) == "$jobs" ]] || fail 'a job is not done'
[[ $(find out -name '*.png' | wc -l) == "$jobs" ]] || fail 'not a picture per job'
[[ $(grep -o '"shard":"[^"]*"' out/results.jsonl | sort | uniq -c | awk '{print $1}' | sort -u) == \
    "$share" ]] || fail 'the parts are not equal'
echo "$jobs jobs by 4 tasks of a Slurm array, one killed, one out of time, both queued again: all there, none twice"
