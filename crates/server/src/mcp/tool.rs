//! What a tool is.

use std::future::Future;
use std::sync::Arc;

use ctrlz_core::tenancy::Right;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use rmcp::handler::server::tool::{schema_for_input, schema_for_output};
use rmcp::model::{
    CallToolResponse, CallToolResult, ContentBlock, InputRequiredResult, JsonObject, MetaObject,
    ToolAnnotations,
};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::call::Call;
use crate::problem::Problem;
use crate::routes::views::to_json;

/// What a tool does to its surroundings, for clients that ask their users before some calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hint {
    /// It changes nothing.
    Reads,
    /// It adds something, and changes nothing that is there.
    Adds,
    /// It changes or removes what is there.
    Changes,
    /// The same, and a second time nothing more.
    ChangesOnce,
    /// It runs what may reach anything that the sandbox may.
    Runs,
}

impl Hint {
    fn annotations(self, title: &str) -> ToolAnnotations {
        ToolAnnotations::with_title(title)
            .read_only(self == Self::Reads)
            .destructive(matches!(self, Self::Changes | Self::ChangesOnce | Self::Runs))
            .idempotent(matches!(self, Self::Reads | Self::ChangesOnce))
            .open_world(self == Self::Runs)
    }
}

/// Why a call has no result yet.
pub(super) enum Stop {
    /// It failed.
    Problem(Box<Problem>),
    /// The user has to be asked first, by the client.
    Ask(Box<InputRequiredResult>),
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

/// What came of a call.
pub(super) type Came<T> = Result<T, Stop>;

/// A result in words, for a model that reads only those.
pub(super) trait Words {
    fn words(&self) -> String;
}

/// A tool.
pub(super) trait Tool: 'static {
    /// Its name.
    const NAME: &str;
    /// A title for people.
    const TITLE: &str;
    /// What it does, for the model that chooses among tools.
    const ABOUT: &str;
    /// What calling it needs.
    const RIGHT: Right;
    /// What it does to its surroundings.
    const HINT: Hint;
    /// Its arguments.
    type Input: DeserializeOwned + JsonSchema + Send + 'static;
    /// Its result.
    type Output: Serialize + JsonSchema + Words + 'static;

    /// Does it.
    fn call(call: &Call, input: Self::Input) -> impl Future<Output = Came<Self::Output>> + Send;
}

/// A tool in the list of all.
pub(super) struct Entry {
    /// As clients are told of it.
    pub(super) tool: rmcp::model::Tool,
    pub(super) right: Right,
    /// Calls it.
    pub(super) call: fn(Call, JsonObject) -> BoxFuture<'static, CallToolResponse>,
}

impl Entry {
    pub(super) fn of<T: Tool>() -> Self {
        // A type that is no object has a schema that says so, which a test would meet.
        let input = schema_for_input::<T::Input>().unwrap_or_else(|_| Arc::default());
        let tool = rmcp::model::Tool::new(T::NAME, T::ABOUT, plain(&input))
            .with_title(T::TITLE)
            .with_raw_output_schema(plain(&schema_for_output::<T::Output>()))
            .with_annotations(T::HINT.annotations(T::TITLE));
        let call = |call: Call, arguments: JsonObject| answer::<T>(call, arguments).boxed();
        Self { tool, right: T::RIGHT, call }
    }
}

/// A schema without the formats of numbers, which are Rust's and not JSON Schema's: clients warn of them.
fn plain(schema: &JsonObject) -> Arc<JsonObject> {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                let is_number = |kind: &str| kind == "integer" || kind == "number";
                let is_number = fields.get("type").is_some_and(|kind| match kind {
                    Value::String(kind) => is_number(kind),
                    Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).any(is_number),
                    _ => false,
                });
                if is_number {
                    fields.remove("format");
                }
                fields.values_mut().for_each(strip);
            }
            Value::Array(values) => values.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let mut schema = schema.clone();
    schema.values_mut().for_each(strip);
    Arc::new(schema)
}

async fn answer<T: Tool>(call: Call, arguments: JsonObject) -> CallToolResponse {
    let called = async {
        let input = serde_json::from_value(arguments.into())
            .map_err(|error| Problem::bad_request(format!("the arguments: {error}")))?;
        let output = T::call(&call, input).await?;
        let mut result = CallToolResult::success(vec![ContentBlock::text(output.words())]);
        result.structured_content = Some(to_json(&output)?);
        Ok(result)
    };
    match called.await {
        Ok(result) => result.into(),
        Err(Stop::Problem(problem)) => failed(&problem).into(),
        Err(Stop::Ask(asked)) => (*asked).into(),
    }
}

/// Where a result that is an error has its problem, for programs. It is no structured content: there are clients that
/// compare that with the tool's schema even when it is an error.
const PROBLEM: &str = "ctrlz/problem";

/// A problem as a tool's error: the words for the model, the object for programs.
pub(super) fn failed(problem: &Problem) -> CallToolResult {
    let mut words = format!("{}: {}", problem.kind(), problem.title());
    for reason in problem.reasons() {
        words.push_str("\n- ");
        words.push_str(reason);
    }
    if let Some(advice) = problem.advice() {
        words.push_str("\nhint: ");
        words.push_str(advice);
    }
    let mut meta = MetaObject::new();
    // The words say the same.
    meta.0.extend(to_json(problem).ok().map(|problem| (PROBLEM.to_owned(), problem)));
    CallToolResult::error(vec![ContentBlock::text(words)]).with_meta(Some(meta))
}
