#!/usr/bin/env bash
# Draws the pictures of docs/gallery.md anew: traces every problem, under a random policy and, where policies/ has one,
# under a trained one; draws them, keeps small PNGs in figures/gallery/, or in the folder that is given: `bash
# jobs/gallery.sh docs/gallery` replaces those of the page, and README's policies.png among them.
# Needs the program in build/ (or $CTPG_BUILD), with MuJoCo.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${CTPG_BUILD:-build}
folder=${1:-figures/gallery}
python=${CTPG_PYTHON:-/usr/bin/python3}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
if [ "$(id -u)" -eq 0 ]; then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi

# name of the pictures, label of the problem, options of trace
random() {
  local name=$1
  shift 2
  "$build/ctpgbench" trace "$@" -out "$scratch/$name.h5"
}

# The same, under the best policy of policies/<name>.h5, or of policies/$policy.h5.
trained() {
  local name=$1
  shift 2
  "$build/ctpgbench" trace "$@" -theta_file "policies/${policy:-$name}.h5:/best" -out "$scratch/$name-trained.h5"
}

# A picture of the scratch folder, kept in 128 colours, which halves it.
keep() {
  "$python" -c 'import sys; from PIL import Image; Image.open(sys.argv[1]).convert("RGB").quantize(128, dither=0).save(
    sys.argv[2], optimize=True)' "$scratch/$1.png" "$folder/$2.png"
}

# Of one trace, or of two.
draw() {
  local name=$1 label=$2
  shift 2
  "$build/ctpgbench" figures "$@" -o "$scratch" --dpi 110
  keep "problem_$label" "$name"
  keep "trace_$label" "$name-back"
}

# Random alone.
picture() {
  random "$@"
  draw "$1" "$2" "$scratch/$1.h5"
}

# Random beside trained.
pictures() {
  random "$@"
  trained "$@"
  draw "$1" "$2" "$scratch/$1.h5" "$scratch/$1-trained.h5"
}

mkdir -p "$folder"
picture lqr lqr -problem lqr -lqr_A 0,2,-2,0 -horizon 25 -dt 0.25
pictures diffdrive diffdrive -problem diffdrive -seed 5
pictures track track -problem track -seed 5
pictures quadrotor quadrotor -problem quadrotor -quadrotor_tangents 0
pictures electric electric -problem electric -seed 2
pictures cartpole cartpole -problem cartpole -seed 3
policy=cartpole pictures cartpole-analytic cartpole-analytic -problem cartpole-analytic
pictures pendulum pendulum -problem pendulum -seed 4 -dt 0.05
picture double-pendulum double-pendulum -problem double-pendulum -seed 2 -dt 0.025
pictures vanderpol vanderpol -problem vanderpol -dt 0.02
picture frozen-mesh frozen-mesh -problem frozen-mesh -frozen-mesh_rate 10 -estimators rk-adjoint,ctpg -rtol 1e-3
picture mujoco reacher -problem reacher=mujoco -policy_init_scale 1
picture acrobot acrobot -problem acrobot=mujoco -mujoco_model acrobot -horizon 4 -policy_init_scale 0.5 -seed 2 -dt 0.05
"$build/ctpgbench" figures "$scratch"/{diffdrive,quadrotor,cartpole}{,-trained}.h5 -o "$scratch" --dpi 110
keep policies policies
