#!/usr/bin/env bash
# Measure the full preset on a GPU: selftest, speed, memory, precisions, exact resume, and two epochs with their PSNR.
#
#     bash docs/examples/accelerator.sh TRAIN.npy VAL.npy [FOLDER] [PART ...]
#
# PART is check, speed, resume or train; without one, all run, which takes about 15 minutes on one data-center GPU.
# WEIGHTS and PERCEPTUAL name the weights of the ResNet and of VGG16, each imagenet (the default), a file, or none.
set -uo pipefail

train=$1 val=$2 out=${3:-accelerator}
parts=${*:4}
data=(--train-manifest "$train" --val-manifest "$val" --run-dir "$out/runs" --weights "${WEIGHTS:-imagenet}"
    --perceptual-weights "${PERCEPTUAL:-imagenet}")
mkdir -p "$out"

step() { # step NAME COMMAND...: runs the command with its output in NAME.log, and says how it ended
    local name=$1 start=$SECONDS
    shift
    "$@" >"$out/$name.log" 2>&1
    echo "exit $? after $((SECONDS - start)) s: $name: ${*}"
}

stop_after_an_epoch() { # runs a training command and sends it SIGTERM once its metrics.csv has an epoch
    local rows="$out/runs/stopped/version_0/metrics.csv"
    "$@" &
    until [[ $(wc -l <"$rows" 2>/dev/null) -ge 2 ]] || ! kill -0 $! 2>/dev/null; do sleep 0.1; done
    kill -TERM $!
    wait $!
}

part() { [[ -z $parts || " $parts " == *" $1 "* ]]; }

if part check; then
    nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader
    step selftest ear selftest
fi

if part speed; then
    step b8-fp16 ear bench train --steps 50 --precision 16-mixed --against-naive -o "$out/b8-fp16"
    step b8-bf16 ear bench train --steps 50 --precision bf16-mixed -o "$out/b8-bf16"
    step b8-low-memory ear bench train --steps 50 --precision 16-mixed --low-memory -o "$out/b8-low-memory"
    step b32-fp16 ear bench train --steps 50 --precision 16-mixed --batch-size 32 -o "$out/b32-fp16"
    step b8-fp16-compile ear bench train --steps 50 --precision 16-mixed --compile -o "$out/b8-fp16-compile"
    step b8-bf16-compile ear bench train --steps 50 --precision bf16-mixed --compile -o "$out/b8-bf16-compile"
fi

if part resume; then # the same four epochs twice, once stopped on the way; the logged figures should be the same
    short=(--preset small --epochs 4 --limit-train 2048 --limit-val 256)
    step whole ear train "${data[@]}" "${short[@]}" --run-name whole
    step stopped stop_after_an_epoch ear train "${data[@]}" "${short[@]}" --run-name stopped
    step resumed ear resume "$out/runs/stopped/version_0"
    tail -n 1 "$out"/runs/{whole,stopped}/version_0/metrics.csv
fi

if part train; then
    step train-fp16 ear train "${data[@]}" --epochs 2 --precision 16-mixed --run-name fp16
    step evaluate ear evaluate --checkpoint "$out/runs/fp16/version_0" --manifest "$val" --output "$out/evaluation"
    step train-auto ear train "${data[@]}" --epochs 1 --batch-size auto --precision bf16-mixed --run-name auto
    step train-compiled ear train "${data[@]}" --epochs 1 --limit-train 2000 --compile --precision bf16-mixed \
        --run-name compiled
    tail -n 2 "$out"/runs/{fp16,auto,compiled}/version_0/metrics.csv
fi
