//! Opens a module for snapshots: everything in it that changes is exported under names of our own.
//!
//! Most of a module's memory and globals, its stack pointer among them, are exported to nobody, so
//! that no runtime hands them out. The start function becomes an export, too: a module whose memory
//! is brought back must not start again.

use wasm_encoder::{ExportKind, ExportSection, Module, RawSection};
use wasmparser::{ExternalKind, Operator, Parser, Payload, TypeRef, ValType};

use crate::error::WasmError;

/// What the names of our exports begin with. No compiler makes such a name.
const PREFIX: &str = "\u{1}ctrlz ";

/// What a module has that changes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Shape {
    /// The exports of its memories.
    pub(crate) memories: Vec<String>,
    /// The exports of its mutable globals.
    pub(crate) globals: Vec<String>,
    /// The export that was its start function.
    pub(crate) start: Option<String>,
    /// Why its memory cannot be kept, when it cannot.
    pub(crate) obstacle: Option<String>,
}

/// The ids of sections, in the order that the binary format demands, as far as it matters here.
const EXPORTS: u8 = 7;
const START: u8 = 8;
/// Start, elements, number of data segments, code, data: all that comes after exports.
const AFTER_EXPORTS: [u8; 5] = [START, 9, 12, 10, 11];

/// The module with everything exported that changes, and how.
pub(crate) fn instrument(bytes: &[u8]) -> Result<(Vec<u8>, Shape), WasmError> {
    let invalid =
        |error: wasmparser::BinaryReaderError| WasmError::Invalid { what: error.to_string() };
    let mut shape = Shape::default();
    let mut exports = ExportSection::new();
    let (mut memories, mut globals) = (0_u32, 0_u32);
    let add = |exports: &mut ExportSection, kind, word: &str, index: u32| {
        let name = format!("{PREFIX}{word} {index}");
        exports.export(&name, kind, index);
        name
    };
    let payloads: Vec<Payload<'_>> =
        Parser::new(0).parse_all(bytes).collect::<Result<_, _>>().map_err(invalid)?;
    for payload in &payloads {
        match payload {
            Payload::ImportSection(imports) => {
                for import in imports.clone().into_imports() {
                    match import.map_err(invalid)?.ty {
                        TypeRef::Memory(_) => memories += 1,
                        TypeRef::Global(_) => globals += 1,
                        _ => {}
                    }
                }
            }
            Payload::MemorySection(section) => {
                for _ in section.clone() {
                    shape.memories.push(add(&mut exports, ExportKind::Memory, "memory", memories));
                    memories += 1;
                }
            }
            Payload::GlobalSection(section) => {
                for global in section.clone() {
                    let kind = global.map_err(invalid)?.ty;
                    if kind.mutable {
                        shape.globals.push(add(
                            &mut exports,
                            ExportKind::Global,
                            "global",
                            globals,
                        ));
                        if matches!(kind.content_type, ValType::Ref(_)) {
                            shape.obstacle = Some("it has a global that holds a reference".into());
                        }
                    }
                    globals += 1;
                }
            }
            Payload::ExportSection(section) => {
                for export in section.clone() {
                    let export = export.map_err(invalid)?;
                    exports.export(export.name, kind(export.kind)?, export.index);
                }
            }
            Payload::StartSection { func, .. } => {
                shape.start = Some(add(&mut exports, ExportKind::Func, "start", *func));
            }
            Payload::CodeSectionEntry(body) if shape.obstacle.is_none() => {
                shape.obstacle = obstacle(body).map_err(invalid)?;
            }
            _ => {}
        }
    }
    Ok((rebuilt(bytes, &payloads, &exports), shape))
}

/// The sections as they were, but for `exports`, and no start.
fn rebuilt(bytes: &[u8], payloads: &[Payload<'_>], exports: &ExportSection) -> Vec<u8> {
    let mut module = Module::new();
    let mut written = false;
    for (id, range) in payloads.iter().filter_map(Payload::as_section) {
        if !written && (id == EXPORTS || AFTER_EXPORTS.contains(&id)) {
            module.section(exports);
            written = true;
        }
        if id != EXPORTS && id != START {
            module.section(&RawSection { id, data: bytes.get(range).unwrap_or_default() });
        }
    }
    if !written {
        module.section(exports);
    }
    module.finish()
}

fn kind(kind: ExternalKind) -> Result<ExportKind, WasmError> {
    Ok(match kind {
        ExternalKind::Func => ExportKind::Func,
        ExternalKind::Table => ExportKind::Table,
        ExternalKind::Memory => ExportKind::Memory,
        ExternalKind::Global => ExportKind::Global,
        ExternalKind::Tag => ExportKind::Tag,
        other => return Err(WasmError::Invalid { what: format!("an export of kind {other:?}") }),
    })
}

/// What in a function changes a thing that no image holds.
fn obstacle(body: &wasmparser::FunctionBody<'_>) -> wasmparser::Result<Option<String>> {
    for operator in body.get_operators_reader()? {
        let what = match operator? {
            Operator::TableSet { .. }
            | Operator::TableGrow { .. }
            | Operator::TableFill { .. }
            | Operator::TableCopy { .. }
            | Operator::TableInit { .. } => "it changes its tables while it runs",
            Operator::ElemDrop { .. } | Operator::DataDrop { .. } => {
                "it drops segments while it runs"
            }
            _ => continue,
        };
        return Ok(Some(what.to_owned()));
    }
    Ok(None)
}
