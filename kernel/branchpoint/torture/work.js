// The same work again and again, first interpreted, then compiled: it must give the same. For Node
// and for Rhino, which compiles to the JVM's code, so the language is an old one.
var say = typeof console === "undefined" ? print : console.log;

function mix(hash, value) {
    var text = String(value), i;
    for (i = 0; i < text.length; i++) hash = ((hash << 5) - hash + text.charCodeAt(i)) | 0;
    return hash;
}

function numbers(hash) {
    var least = Math.pow(2, -1074), sum = 0, x = 0.5, i;
    for (i = 0; i < 5000; i++) {
        sum += least * (i % 5);
        x = 3.9999 * x * (1 - x);
        if (i % 1000 === 0) hash = mix(hash, Math.sqrt(x) / 3 + i);
    }
    return mix(mix(hash, sum), x);
}

function texts(hash) {
    var words = [], i;
    for (i = 0; i < 1000; i++) words.push("w" + ((i * 7919) % 1009).toString(36));
    words.sort();
    return mix(hash, words.join(" ").replace(/w([0-9a-c]+)\b/g, "<$1>"));
}

function objects(hash) {
    var tree = null, i, node, depth = 0;
    function put(at, key) {
        if (at === null) return { key: key, left: null, right: null };
        if (key < at.key) at.left = put(at.left, key);
        else at.right = put(at.right, key);
        return at;
    }
    for (i = 0; i < 500; i++) tree = put(tree, (i * 48271) % 65537);
    for (node = tree; node !== null; node = node.left) depth += node.key;
    return mix(hash, depth);
}

var kinds = [numbers, texts, objects], first = [], round, kind, now;
for (round = 1; ; round++) {
    for (kind = 0; kind < kinds.length; kind++) {
        now = kinds[kind](7);
        if (round === 1) first[kind] = now;
        if (now !== first[kind])
            say(round + ": LOST: " + kinds[kind].name + ": " + now + ", not " + first[kind]);
    }
    say(round + ": kept");
}
