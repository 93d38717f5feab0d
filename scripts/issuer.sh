# Sourced by scripts/setup after scripts/browser.sh, whose Node.js it runs: the OpenID Connect issuer of the tests, npm's
# oidc-provider, in target/tools/issuer. Each package has the version and the SHA-512 that tests/issuer/package-lock.json
# names; no script of any package is run.
#
#   for_issuer    oidc-provider and what it needs

for_issuer() {
    local lock=tests/issuer/package-lock.json dir=$PWD/target/tools/issuer node=$browser/node path address sum file
    [ -x "$node" ] || node=node
    if cmp -s "$lock" "$dir/fetched"; then
        return
    fi
    rm -rf "$dir"
    mkdir -p "$dir"
    file=$(mktemp)
    say "fetching oidc-provider"
    while read -r path address sum; do
        remedy "does this machine reach registry.npmjs.org? Run this again"
        step "fetching $path" curl -fsSL --retry 3 -o "$file" "$address"
        remedy "what came is not what was released; run this again, and trust nothing of it if it stays so"
        step "comparing the SHA-512 of $path" sh -c "echo '$sum  $file' | sha512sum --check --quiet"
        mkdir -p "$dir/$path"
        step "unpacking $path" tar -xzf "$file" -C "$dir/$path" --strip-components=1 --no-same-owner
    done < <("$node" -e '
        const { packages } = JSON.parse(require("node:fs").readFileSync(process.argv[1]));
        for (const [path, { version, integrity }] of Object.entries(packages)) {
            if (path === "") continue;
            const [kind, sum] = integrity.split("-"), name = path.split("node_modules/").pop();
            if (kind !== "sha512") throw new Error(`${path} has no SHA-512`);
            const file = `${name.split("/").pop()}-${version}.tgz`;
            console.log(path, `https://registry.npmjs.org/${name}/-/${file}`, Buffer.from(sum, "base64").toString("hex"));
        }
    ' "$lock")
    rm -f "$file"
    [ -d "$dir/node_modules/oidc-provider" ] || fail "tests/issuer/package-lock.json names no oidc-provider"
    cp "$lock" "$dir/fetched"
}
