#!/bin/sh
# Builds llama.cpp's llama-server from the sources that the PyPI package llama-cpp-python carries:
#
#     tests/llm/build_llama_server.sh FOLDER
#     LLAMA_SERVER=FOLDER/llama-server pytest tests/llm/test_llama_server.py
#
# Needs curl, cmake, ninja and a C++ compiler, and a few minutes of an idle machine. JOBS says how many files to compile at once.
set -eu

folder=${1:?usage: $0 FOLDER}
name=llama_cpp_python-0.3.36
sdist=https://files.pythonhosted.org/packages/ec/e9/e7de2b0463ea3ffbf0ede6cb21b58c1258a8f6521aae45ca773a59fe7cf3/$name.tar.gz
sha256=832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e

mkdir -p "$folder"
cd "$folder"
test -f $name.tar.gz || { curl -fsSL -o partial "$sdist" && mv partial $name.tar.gz; }
echo "$sha256  $name.tar.gz" | sha256sum -c -
tar -xzf $name.tar.gz $name/vendor
cmake -S $name/vendor/llama.cpp -B build -G Ninja -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF -DLLAMA_BUILD_SERVER=ON \
    -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_UI=OFF -DLLAMA_OPENSSL=OFF
cmake --build build --target llama-server --parallel "${JOBS:-$(nproc)}"
mv build/bin/llama-server .
rm -rf build $name
./llama-server --version
