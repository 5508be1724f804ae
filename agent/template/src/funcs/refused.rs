//! Functions that the peers have and Keyside does not, each with its reason.

use super::PREFIX;

const REFUSED: [(&str, &[&str]); 9] = [
    (
        "it reads from Consul",
        &[
            "caLeaf",
            "caRoots",
            "connect",
            "datacenters",
            "exportedServices",
            "key",
            "keyExists",
            "keyOrDefault",
            "ls",
            "node",
            "nodes",
            "partitions",
            "peerings",
            "safeLs",
            "safeTree",
            "service",
            "services",
            "tree",
            "byKey",
            "byMeta",
            "byPort",
            "byTag",
        ],
    ),
    (
        "it reads from Nomad",
        &[
            "nomadService",
            "nomadServices",
            "nomadVar",
            "nomadVarExists",
            "nomadVarList",
            "nomadVarListSafe",
        ],
    ),
    ("it runs a program", &["plugin"]),
    ("it asks for the machine's addresses", &["sockaddr"]),
    (
        "a template writes its destination alone; give the other file a `template` of its own",
        &["writeToFile"],
    ),
    (
        "it prints Go's memory",
        &["spew_dump", "spew_printf", "spew_sdump", "spew_sprintf"],
    ),
    ("no value is a function", &["call"]),
    (
        "its result differs at each rendering",
        &[
            "sprig_bcrypt",
            "sprig_encryptAES",
            "sprig_htpasswd",
            "sprig_randAlpha",
            "sprig_randAlphaNum",
            "sprig_randAscii",
            "sprig_randBytes",
            "sprig_randInt",
            "sprig_randNumeric",
            "sprig_shuffle",
            "sprig_uuidv4",
        ],
    ),
    (
        "it is Helm's, not Sprig's",
        &[
            "sprig_fromYaml",
            "sprig_include",
            "sprig_lookup",
            "sprig_required",
            "sprig_toYaml",
            "sprig_tpl",
            "include",
            "required",
            "toYaml",
            "tpl",
        ],
    ),
];

/// Why there is no function of this name.
pub(super) fn message(name: &str, bare: &str, sprig: bool) -> String {
    let known = REFUSED.iter().find(|(_, names)| names.contains(&name));
    if let Some((reason, _)) = known {
        return format!("function `{name}` is not in Keyside: {reason}");
    }
    // The commonest slip: Sprig's functions have a prefix here.
    if !sprig && super::find(&format!("{PREFIX}{name}")).is_ok() {
        return format!("there is no function `{name}`, but `{PREFIX}{name}`");
    }
    if sprig {
        return format!(
            "function `{name}` is not in Keyside: of Sprig it has what configuration takes, not `{bare}`"
        );
    }
    format!("there is no function `{name}`")
}
