#!/usr/bin/env bash
# Remakes the pages that hold measured numbers, from their plans to the text. Without arguments all of them, hours of
# computing; with names these alone: `bash jobs/docs.sh paper gallery`. Run again, it goes on where it stopped. What
# a page says in words beside its tables is written by hand: read it again afterwards. Needs a build with MuJoCo in
# build/ (or $CTPG_BUILD); CTPG_RANKS: MPI ranks, default all cores.
set -euo pipefail
cd "$(dirname "$0")/.."
build=$(realpath "${CTPG_BUILD:-build}")

# docs/paper.md
make_paper() {
  bash jobs/paper.sh
  "$build/ctpgbench" paper results/paper-training.h5 --gradients results/paper-gradients.h5 \
    --more results/paper-beyond.h5 --traces results/paper-trace.h5 results/paper-cartpole-*.h5 \
    -o figures/paper --dpi 130 --page docs/paper.md
}

# docs/accuracy.md
make_accuracy() {
  bash jobs/accuracy.sh
  "$build/ctpgbench" beyond results/accuracy.h5 -o figures/accuracy --dpi 130 --page docs/accuracy.md
}

# docs/training.md: what the trainings of the paper cost.
make_training() {
  mkdir -p results
  bash jobs/mpirun.sh "$build/ctpgbench" train -options_file jobs/paper.yaml -out results/paper-training.h5
  "$build/ctpgbench" training results/paper-training.h5 --speed --page docs/training.md
}

# The baselines of the suite, and the tables of docs/choosing.md, which are made of them.
make_choosing() {
  bash jobs/baselines.sh
  "$build/ctpgbench" choosing --page docs/choosing.md
}

# README's picture of gradient errors, and its table, which is copied by hand from figures/quickstart/table.txt.
make_readme() {
  local file=results/quickstart.h5 folder=figures/quickstart
  mkdir -p results
  bash jobs/mpirun.sh "$build/ctpgbench" sweep -options_file jobs/suite-1.yaml -options_file jobs/quickstart.yaml \
    -out "$file"
  "$build/ctpgbench" figures "$file" -o "$folder"
  "$build/ctpgbench" table "$file" >"$folder/table.txt"
  cp "$folder/overview.png" docs/overview.png
}

# The pictures of docs/gallery.md.
make_gallery() { bash jobs/gallery.sh docs/gallery; }

# policies/, files and page.
make_policies() { bash jobs/policies.sh policies; }

pages=(policies readme paper training accuracy choosing gallery)
[ $# -eq 0 ] || pages=("$@")
for page in "${pages[@]}"; do
  if [ "$(type -t "make_$page")" != function ]; then
    echo "docs.sh: $page is no page; expected policies, readme, paper, training, accuracy, choosing or gallery" >&2
    exit 2
  fi
done
for page in "${pages[@]}"; do "make_$page"; done
