//! All tools.

use std::sync::LazyLock;

use super::tool::Entry;
use super::tools::{files, history, run, sandboxes, snapshots};

/// All tools, in the order in which clients are told of them.
pub(super) static ALL: LazyLock<Vec<Entry>> = LazyLock::new(|| {
    vec![
        Entry::of::<sandboxes::Create>(),
        Entry::of::<run::Exec>(),
        Entry::of::<files::Read>(),
        Entry::of::<files::Write>(),
        Entry::of::<files::List>(),
        Entry::of::<history::Diff>(),
        Entry::of::<snapshots::Take>(),
        Entry::of::<snapshots::List>(),
        Entry::of::<history::Rollback>(),
        Entry::of::<history::Undo>(),
        Entry::of::<sandboxes::Fork>(),
        Entry::of::<history::Commit>(),
        Entry::of::<run::Check>(),
        Entry::of::<sandboxes::List>(),
        Entry::of::<run::Kill>(),
    ]
});

/// The tool of that name.
pub(super) fn named(name: &str) -> Option<&'static Entry> {
    ALL.iter().find(|entry| entry.tool.name == name)
}

#[cfg(test)]
mod tests {
    use ctrlz_core::tenancy::Right;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_documentation_tells_of_each() {
        let mut table = String::from("| tool | role | hint | what it does |\n|---|---|---|---|\n");
        for entry in &*ALL {
            let tool = &entry.tool;
            let hints = json!(tool.annotations);
            let hint = match (&hints["readOnlyHint"], &hints["destructiveHint"]) {
                (Value::Bool(true), _) => "reads",
                (_, Value::Bool(true)) => "destructive",
                _ => "adds",
            };
            let about = tool.description.as_deref().expect("words");
            let role = if entry.right == Right::Look { "viewer" } else { "operator" };
            table.push_str(&format!("| `{}` | {role} | {hint} | {about} |\n", tool.name));
        }
        let page = include_str!("../../../../docs/mcp.md");
        assert!(page.contains(&table), "docs/mcp.md should have this table:\n{table}");
    }

    #[test]
    fn the_tools_are_these_and_each_says_all_of_itself() {
        let names: Vec<_> = ALL.iter().map(|entry| &*entry.tool.name).collect();
        let expected = [
            "sandbox_create",
            "sandbox_exec",
            "sandbox_fs_read",
            "sandbox_fs_write",
            "sandbox_fs_list",
            "sandbox_diff",
            "sandbox_snapshot",
            "sandbox_list_snapshots",
            "sandbox_rollback",
            "sandbox_undo",
            "sandbox_fork",
            "sandbox_commit",
            "sandbox_check",
            "sandbox_list",
            "sandbox_kill",
        ];
        assert_eq!(names, expected);
        for entry in &*ALL {
            let tool = &entry.tool;
            let input = &tool.input_schema;
            assert_eq!(input["type"], "object", "{}", tool.name);
            assert_eq!(input["additionalProperties"], false, "{}", tool.name);
            let output = tool.output_schema.as_ref().expect("what it answers");
            assert_eq!(output["type"], "object", "{}", tool.name);
            for (name, property) in input["properties"].as_object().expect("arguments") {
                let described = property.get("description").is_some();
                assert!(described, "{}: {name} is not described", tool.name);
            }
            for schema in [json!(input), json!(output)] {
                // Clients warn of formats that JSON Schema does not know.
                assert!(!schema.to_string().contains("\"format\""), "{}: {schema}", tool.name);
            }
            assert!(tool.title.is_some() && tool.description.is_some(), "{}", tool.name);
            let hints = json!(tool.annotations.as_ref().expect("hints"));
            for hint in ["readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"] {
                assert!(hints[hint].is_boolean(), "{}: {hint}", tool.name);
            }
            let reads = hints["readOnlyHint"] == true;
            let looks = entry.right == Right::Look;
            assert_eq!(reads, looks, "{}: who may only look changes nothing", tool.name);
        }
        assert!(named("sandbox_exec").is_some() && named("sandbox_format_disk").is_none());
    }
}
