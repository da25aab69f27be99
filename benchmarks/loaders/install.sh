#!/usr/bin/env bash
# Makes the virtual environment of one peer: benchmarks/loaders/install.sh NAME FOLDER
set -euo pipefail

name=$1
folder=$2
python=${PYTHON:-python3}
[ -e "$folder/.installed" ] && exit 0
rm -rf "$folder"
"$python" -m venv "$folder"
pip() { "$folder/bin/python" -m pip --disable-pip-version-check -q "$@"; }
# First and pinned: as a requirement of another package it may be another build, of gigabytes.
torch=torch==2.13.0

# Over the Pillow that other packages bring, as in our own environment.
pillow_simd() {
    local cc=${CC:-cc}
    grep -qm1 avx2 /proc/cpuinfo 2>/dev/null && cc="$cc -mavx2"
    CC=$cc pip install --force-reinstall --no-deps --no-cache-dir 'pillow-simd>=10.4'
}

case $name in
litdata)
    pip install "$torch" numpy
    pip install "$torch" litdata==0.2.76
    pillow_simd
    ;;
dali) pip install numpy 'nvidia-dali-cuda120==2.4.*' ;;
grain) pip install numpy grain==0.2.18 array_record==0.8.6 ;;
mosaicml)
    # It imports torchvision, which has to be built for the same torch.
    pip install torch==2.14.1 torchvision==0.29.1 'mosaicml-streaming==0.13.*'
    pillow_simd
    ;;
webdataset) pip install "$torch" numpy && pip install "$torch" webdataset==1.0.2 ;;
huggingface) pip install numpy datasets==5.0.1 ;;
ffcv)
    for library in opencv4 libturbojpeg; do
        pkg-config --exists "$library" || {
            echo "ffcv needs Debian's libturbojpeg0-dev libopencv-dev pkg-config" >&2
            exit 1
        }
    done
    pip install "$torch" numpy 'setuptools<81' wheel
    pip install "$torch" pillow numba opencv-python-headless tqdm psutil fastargs terminaltables pandas
    pip install --no-build-isolation --no-deps ffcv==1.0.2
    ;;
*)
    echo "no such peer: $name" >&2
    exit 1
    ;;
esac
touch "$folder/.installed"
