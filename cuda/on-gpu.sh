#!/usr/bin/env bash
# What a machine with a GPU is for: the kernels' tests on the device, and their speed. It needs no cargo and no network there.
#
#   cuda/on-gpu.sh build BINARIES         here: builds stripped executables into the folder BINARIES
#   cuda/on-gpu.sh check BINARIES RESULTS there: every test on the device, the small ones under compute-sanitizer
#   cuda/on-gpu.sh speed BINARIES RESULTS there: `handgrad bench` on the device, beside PyTorch and JAX where they are installed
#
# check and speed write RESULTS.json and RESULTS.txt, and fail if anything has failed. On a real device, check also writes
# RESULTS.instructions.txt, what its instructions make of given bits: as cuda/fixtures/instructions.txt, the emulator is held to
# it. HANDGRAD_EMULATED=1 runs both on the emulated device instead, which tests the script, not the kernels' speed.
set -euo pipefail

usage() { sed -n '4,6s/^#   //p' "$0" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
[ $# -ge 2 ] || usage
command=$1 binaries=$2 results=${3:-}

# A test, a sanitizer's tool or a bench may take so many seconds.
limit=${LIMIT:-300}
# Tests that run few threads: a sanitizer slows each down a hundredfold.
small='by_hand|values_of_pytorch|steps_of_pytorch|one_step|no_step_changes|a_kernel_gets|a_graph_does|every_instruction|small_integers'
rows=$(mktemp)
trap 'rm -f "$rows" "$rows".*' EXIT

# Adds a row: group, name, result (a word or a number), unit, seconds.
row() { printf '%s\t%s\t%s\t%s\t%s\n' "$@" >>"$rows"; }

build() {
    mkdir -p "$binaries"
    cd "$here/.."
    cargo build --release --package handgrad --bin handgrad
    strip -o "$binaries/handgrad" "${CARGO_TARGET_DIR:-target}/release/handgrad"
    {
        cargo test --release --no-run --message-format=json --package handgrad-cuda --package handgrad-kernels --lib
        cargo test --release --no-run --message-format=json --package handgrad \
            --test device --test device_images --test device_metrics
    } | sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | grep '/deps/' | while read -r executable; do
        name=$(basename "$executable")
        strip -o "$binaries/test-${name%-*}" "$executable"
    done
    # PyTorch's steps that training on the device is held to.
    if [ -d ../shared/golden ]; then
        install -D -m 644 -t "$binaries/golden" ../shared/golden/resnet18-w16*
    fi
    git describe --always --dirty >"$binaries/version.txt"
    du -sh "$binaries"
}

emulated() { [ "${HANDGRAD_EMULATED:-}" = 1 ]; }

card() {
    if emulated; then
        echo "emulated on $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)"
    else
        nvidia-smi --query-gpu=name,driver_version --format=csv,noheader | head -1
    fi
}

# Runs every test of an executable on the device, one after the other, each with a time of its own.
check_tests() {
    local executable=$1 group=$2 test result started
    "$executable" --list --format=terse | sed -n 's/: test$//p' >"$rows.tests"
    # Those that others run in processes of their own.
    "$executable" --list --format=terse --ignored | sed -n 's/: test$//p' >"$rows.ignored"
    grep -vxFf "$rows.ignored" "$rows.tests" >"$rows.run" || true
    while read -r test; do
        started=$(date +%s.%N)
        if REQUIRE=$required timeout "$limit" "$executable" --exact "$test" --test-threads=1 >"$rows.log" 2>&1 </dev/null; then
            result=ok
        else
            result=FAILED
            { echo "---- $test"; cat "$rows.log"; } >&2
        fi
        row "$group" "$test" "$result" test "$(awk "BEGIN { printf \"%.1f\", $(date +%s.%N) - $started }")"
    done <"$rows.run"
}

# The small tests of an executable under the sanitizer's tools, if it is installed and there is a device for it.
sanitize() {
    local executable=$1 group=$2 tool result
    if emulated || ! command -v compute-sanitizer >/dev/null; then
        row "$group" compute-sanitizer SKIP "$(emulated && echo 'the device is emulated' || echo 'it is not installed')" 0
        return
    fi
    "$executable" --list --format=terse | sed -n 's/: test$//p' | grep -E "$small" >"$rows.small" || return 0
    for tool in memcheck racecheck initcheck synccheck; do
        # shellcheck disable=SC2046 # one argument a test
        if REQUIRE=$required timeout "$limit" compute-sanitizer --tool "$tool" --error-exitcode 9 --target-processes all \
            "$executable" --exact $(cat "$rows.small") --test-threads=1 >"$rows.log" 2>&1 </dev/null; then
            result=ok
        else
            result=FAILED
            { echo "---- compute-sanitizer $tool"; tail -40 "$rows.log"; } >&2
        fi
        row "$group" "compute-sanitizer $tool" "$result" "$(wc -l <"$rows.small") tests" 0
    done
}

check() {
    local executable group
    export HANDGRAD_SAVE_INSTRUCTIONS="$results.instructions.txt" HANDGRAD_GOLDEN="$binaries/golden"
    [ -d "$HANDGRAD_GOLDEN" ] || row fixtures "PyTorch's steps of a residual network" SKIP "they are absent" 0
    for executable in "$binaries"/test-*; do
        group=${executable##*/test-}
        check_tests "$executable" "$group"
        sanitize "$executable" "$group"
    done
}

# Adds the row of a program that has written its rate into the log, images if it has any, or else steps.
rate_row() {
    local group=$1 name=$2 unit=steps key='\(replica_\)\?steps_per_s' rate
    grep -q '"images_per_s"' "$rows.log" && unit=images key='\(\)images_per_s'
    rate=$(sed -n 's/.*"'"$key"'": *\([0-9.e+-]*\).*/\2/p' "$rows.log" | head -1)
    if [ -z "$rate" ] && grep -q ': skipped, ' "$rows.log"; then
        row "$group" "$name" SKIP "$(sed -n 's/.*: skipped, //p' "$rows.log" | head -1 | tr '\t' ' ')" 0
    else
        row "$group" "$name" "${rate:-FAILED}" "$unit/s" 0
    fi
}

# The rate of `handgrad bench` with these arguments, or what else a `reader` makes of its log.
bench() {
    local name=$1
    shift
    if timeout "$limit" "$binaries/handgrad" bench "$@" --device cuda >"$rows.log" 2>&1; then
        "${reader:-rate_row}" handgrad "$name"
    else
        row handgrad "$name" FAILED "$(head -1 "$rows.log" | tr '\t' ' ')" 0
    fi
}

# The same work by a script with another package, if that is installed.
peer() {
    local group=$1 package=$2 name=$3
    shift 3
    if ! python3 -c "import $package" 2>/dev/null; then
        row "$group" "$name" SKIP "it is not installed" 0
    elif timeout "$limit" python3 "$@" >"$rows.log" 2>&1; then
        "${reader:-rate_row}" "$group" "$name"
    else
        row "$group" "$name" FAILED "$(tail -1 "$rows.log" | tr '\t' ' ')" 0
    fi
}

# That with PyTorch; on the processor where the device is emulated.
torch() {
    local name=$1 script=$2 device=cuda
    shift 2
    emulated && device=cpu
    peer PyTorch torch "$name" "$script" --device "$device" "$@"
}

# That with JAX's vmap over replicas, as torch.
jax() {
    local name=$1 platform=cuda
    shift
    emulated && platform=cpu
    JAX_PLATFORMS=$platform peer JAX jax "$name" "$here/../benches/peers/ensemble_jax.py" --only "vmap hand unroll=1" "$@"
}

# A network's rows: a name, its arguments, and those that only handgrad has.
network() {
    local name=$1 net=$2 own=$3 dtype replicas row steps=20000
    emulated && steps=20
    for dtype in f32 f64; do
        for replicas in 1 132 1056; do
            emulated && [ "$replicas" != 1 ] && continue
            row="$name $dtype, $replicas replicas"
            # shellcheck disable=SC2086 # several arguments each
            bench "$row" $net $own --dtype "$dtype" --steps "$steps" --replicas "$replicas"
            # shellcheck disable=SC2086
            torch "$row" "$here/speed_torch.py" $net --dtype "$dtype" --steps "$((steps / 10))" --replicas "$replicas"
        done
    done
}

# Rows of a perceptron with many outputs: as network, beside JAX in f32.
wide() {
    local widths=$1 dtype replicas row steps=20000
    emulated && steps=20
    for replicas in 1 132 1056; do
        emulated && [ "$replicas" != 1 ] && continue
        for dtype in f32 f64; do
            row="perceptron $widths $dtype, $replicas replicas"
            bench "$row" "mlp:$widths" --n 100 --bias none --activation relu --dtype "$dtype" --steps "$steps" --replicas "$replicas"
            [ "$dtype" = f64 ] && continue
            jax "$row" --net "$widths" --n 100 --activation relu --steps "$((steps / 10))" --replicas "$replicas"
        done
    done
}

# Training steps of ResNet-18 with batches of so many images in a precision, beside PyTorch's eager and compiled in both layouts.
resnet() {
    local batch=$1 precision=$2 variant row="ResNet-18, batch $1, $2" net=resnet18 width=64 steps=20
    emulated && net=resnet18:width=2 width=2 steps=1
    bench "$row" "$net" --batch "$batch" --steps "$steps" --precision "$precision"
    for variant in eager-nchw eager-nhwc compiled-nchw compiled-nhwc; do
        torch "$row, $variant" "$here/../benches/peers/resnet_torch.py" --batch "$batch" --width "$width" --steps "$steps" \
            --precision "$precision" --variants "$variant"
    done
}

# A row for each pass in the log's lines, in microseconds with the launch and the wait for its end.
passes() {
    local group=$1 name=$2 line variant pass ms
    while read -r line; do
        variant=$(sed -n 's/.*"variant": *"\([^"]*\)".*/\1/p' <<<"$line")
        for pass in forward backward_data backward_weight; do
            ms=$(sed -n 's/.*"'"$pass"'": *\({"ms":\)\?\([0-9][0-9.e+-]*\).*/\2/p' <<<"$line")
            [ -n "$ms" ] && row "$group" "$name, $pass, $variant" "$(awk "BEGIN { print 1000 * $ms }")" us 0
        done
    done <"$rows.log"
    return 0
}

# One operator in a precision, beside PyTorch's cuBLAS or cuDNN.
operator() {
    local workload=$1 batch=$2 precision=$3 reader=passes name="$1, batch $2, $3"
    bench "$name" "$workload" --batch "$batch" --precision "$precision"
    torch "$name" "$here/../benches/peers/kernels_torch.py" "$workload" --batch "$batch" --precision "$precision"
}

speed() {
    network "diagonal d=200" "diagonal --n 80 --d 200" ""
    network "perceptron 1,100,1" "mlp:1,100,1 --n 20" "--bias all --activation relu"
    network "deep linear 15,15,15,15,1" "mlp:15,15,15,15,1 --n 15 --activation identity" "--bias none"
    wide 200,200,200
    local batch precision batches="32 256"
    emulated && batches=2
    for batch in $batches; do
        for precision in f32 f32x3 tf32 bf16; do resnet "$batch" "$precision"; done
    done
    # The stages of ResNet-18, and one of its strides.
    local workload workloads="gemm:4096,4096,4096" extents="32,64,64,3,1 32,64,128,3,2 16,128,128,3,1 8,256,256,3,1 4,512,512,3,1"
    batch=256
    emulated && workloads=gemm:33,17,65 extents=6,8,8,3,1 batch=2
    for workload in $workloads $(printf 'conv:%s ' $extents); do
        for precision in f32 f32x3 tf32 bf16; do operator "$workload" "$batch" "$precision"; done
    done
}

# The rows as JSON and as a table.
write_results() {
    local date version
    date=$(date -u +%FT%TZ)
    version=$(cat "$binaries/version.txt" 2>/dev/null || echo unknown)
    {
        printf '{\n  "what": "%s",\n  "date": "%s",\n  "card": "%s",\n  "version": "%s",\n  "rows": [\n' \
            "$command" "$date" "$(card)" "$version"
        awk -F'\t' '
            function text(value) { gsub(/\\/, "\\\\", value); gsub(/"/, "\\\"", value); return "\"" value "\"" }
            { printf "%s    {\"group\": %s, \"name\": %s, \"result\": %s, \"unit\": %s, \"seconds\": %s}", (NR > 1 ? ",\n" : ""),
                text($1), text($2), ($3 ~ /^[0-9]/ ? $3 : text($3)), text($4), $5 }
            END { print "" }' "$rows"
        printf '  ]\n}\n'
    } >"$results.json"
    {
        printf '%s on %s, %s, version %s\n\n' "$command" "$(card)" "$date" "$version"
        awk -F'\t' '
            { printf "%-18s %-90s %14s %s%s\n", $1, $2, ($3 ~ /^[0-9]/ ? sprintf("%.0f", $3) : $3), $4, ($5 > 0 ? sprintf(", %.1f s", $5) : "") }
            $3 == "FAILED" { failed++ } $3 == "SKIP" { skipped++ }
            END { printf "\n%d passed, %d failed, %d skipped\n", NR - failed - skipped, failed, skipped }' "$rows"
    } >"$results.txt"
    cat "$results.txt"
    ! grep -q $'\tFAILED\t' "$rows"
}

required=cuda
emulated && required=emulator
case $command in
build) build ;;
check | speed)
    [ -n "$results" ] || usage
    "$command"
    write_results
    ;;
*) usage ;;
esac
