//! Conditions beyond matching, in the Common Expression Language.
//!
//! Bounds, so that no pack can make a verdict slow: an expression has at most [`LONGEST`] bytes and
//! [`DEEPEST`] levels, calls only functions without side effects and regular expressions, and goes
//! through a list only outside of going through another; a condition sees lists of at most
//! [`MOST_ARGUMENTS`] arguments of [`LONGEST_ARGUMENT`] bytes in all. What is beyond is an error,
//! and an error counts against what is judged.

/// The longest expression, in bytes.
#[cfg(feature = "cel")]
pub(super) const LONGEST: usize = 1000;
/// How deeply an expression may nest.
#[cfg(feature = "cel")]
const DEEPEST: u32 = 48;
/// How many arguments a condition sees.
#[cfg(feature = "cel")]
const MOST_ARGUMENTS: usize = 256;
/// How many bytes all arguments may have that a condition sees.
#[cfg(feature = "cel")]
const LONGEST_ARGUMENT: usize = 32 << 10;

/// What a condition can ask about.
#[derive(Debug, Clone, Default)]
#[cfg_attr(not(feature = "cel"), allow(dead_code, reason = "there is nobody to ask"))]
pub(super) struct Facts {
    pub(super) program: String,
    pub(super) arguments: Vec<String>,
    pub(super) effect: String,
    pub(super) target: String,
    pub(super) class: String,
    pub(super) qualities: Vec<&'static str>,
    pub(super) host: String,
    pub(super) workspace: String,
    pub(super) directory: String,
    pub(super) home: String,
    pub(super) network: bool,
    pub(super) profile: String,
}

/// The names of the facts.
#[cfg(feature = "cel")]
const VARIABLES: [&str; 12] = [
    "program",
    "arguments",
    "effect",
    "target",
    "class",
    "qualities",
    "host",
    "workspace",
    "directory",
    "home",
    "network",
    "profile",
];

/// Functions that may be called: the operators, and what looks at texts and lists.
#[cfg(feature = "cel")]
const FUNCTIONS: [&str; 26] = [
    "_?_:_",
    "_&&_",
    "_||_",
    "!_",
    "_-_",
    "_+_",
    "_*_",
    "_/_",
    "_%_",
    "_==_",
    "_!=_",
    "_>=_",
    "_<=_",
    "_>_",
    "_<_",
    "-_",
    "_[_]",
    "@in",
    "@not_strictly_false",
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "string",
    "int",
    "bool",
];

#[cfg(not(feature = "cel"))]
mod built {
    use super::Facts;

    /// A condition, which this build cannot ask.
    #[derive(Debug, Clone)]
    pub(crate) struct Condition;

    impl Condition {
        pub(crate) fn compile(_: &str) -> Result<Self, String> {
            Err("this ctrlz was built without conditions (the feature `cel`)".to_owned())
        }

        pub(crate) fn holds(&self, _: &Facts) -> Result<bool, String> {
            Err("this ctrlz was built without conditions".to_owned())
        }
    }
}

#[cfg(feature = "cel")]
mod built {
    use std::sync::{Arc, OnceLock};

    use cel::common::ast::{EntryExpr, Expr, IdedExpr};
    // The crate's parser by hand. The other one, which `Program` uses, is generated: its tables make
    // the program larger, and hold half of the pointers that are relocated at every start.
    use cel::parser::PrattParser;
    use cel::{Context, Env, Value};

    use super::{DEEPEST, FUNCTIONS, Facts, LONGEST, LONGEST_ARGUMENT, MOST_ARGUMENTS, VARIABLES};
    use crate::rules::pack::error::{quoted, suggestion};

    /// A compiled condition.
    #[derive(Debug, Clone)]
    pub(crate) struct Condition {
        expression: Arc<IdedExpr>,
    }

    fn environment() -> &'static Arc<Env> {
        static ENVIRONMENT: OnceLock<Arc<Env>> = OnceLock::new();
        ENVIRONMENT.get_or_init(|| Arc::new(Env::stdlib()))
    }

    impl Condition {
        /// Reads an expression and checks that it is bounded and asks about facts that exist.
        pub(crate) fn compile(text: &str) -> Result<Self, String> {
            if text.len() > LONGEST {
                return Err(format!("it is longer than {LONGEST} bytes"));
            }
            // The parser recurses for each of these before anybody can count levels in its tree.
            let opening = text.bytes().filter(|byte| matches!(byte, b'(' | b'[' | b'{' | b'?'));
            if opening.count() > DEEPEST as usize || text.contains("!!!!") || text.contains("----")
            {
                return Err("it nests too deeply".to_owned());
            }
            let expression = PrattParser::default().parse(text).map_err(|errors| {
                let first = errors.errors.first();
                first.map_or_else(
                    || "it is no expression".to_owned(),
                    |error| {
                        let reason = error.msg.lines().next().unwrap_or_default();
                        format!("column {}: {reason}", error.pos.1)
                    },
                )
            })?;
            Check { scope: Vec::new() }.expression(&expression, 0)?;
            Ok(Self { expression: Arc::new(expression) })
        }

        /// Whether it holds.
        pub(crate) fn holds(&self, facts: &Facts) -> Result<bool, String> {
            let bytes: usize = facts.arguments.iter().map(String::len).sum();
            let too_long = bytes > LONGEST_ARGUMENT || facts.target.len() > LONGEST_ARGUMENT;
            if facts.arguments.len() > MOST_ARGUMENTS || too_long {
                return Err("there is more to look at than a condition may".to_owned());
            }
            let mut context = Context::with_env(Arc::clone(environment()));
            let texts: [(&str, &String); 9] = [
                ("program", &facts.program),
                ("effect", &facts.effect),
                ("target", &facts.target),
                ("class", &facts.class),
                ("host", &facts.host),
                ("workspace", &facts.workspace),
                ("directory", &facts.directory),
                ("home", &facts.home),
                ("profile", &facts.profile),
            ];
            for (name, text) in texts {
                context.add_variable_from_value(name, text.clone());
            }
            context.add_variable_from_value("arguments", facts.arguments.clone());
            let qualities: Vec<String> = facts.qualities.iter().map(|&name| name.into()).collect();
            context.add_variable_from_value("qualities", qualities);
            context.add_variable_from_value("network", facts.network);
            match Value::resolve(&self.expression, &context) {
                Ok(Value::Bool(holds)) => Ok(holds),
                Ok(_) => Err("it is neither true nor false".to_owned()),
                Err(error) => Err(error.to_string()),
            }
        }
    }

    /// Looks through an expression before it is ever asked.
    struct Check<'e> {
        /// The variables of the lists that are gone through.
        scope: Vec<&'e str>,
    }

    impl<'e> Check<'e> {
        fn expression(&mut self, expression: &'e IdedExpr, depth: u32) -> Result<(), String> {
            if depth > DEEPEST {
                return Err("it nests too deeply".to_owned());
            }
            let depth = depth + 1;
            match &expression.expr {
                Expr::Unspecified | Expr::Literal(_) => Ok(()),
                Expr::Ident(name) => self.variable(name),
                Expr::Call(call) => {
                    let name = call.func_name.as_str();
                    if !FUNCTIONS.contains(&name) {
                        let near = suggestion(name, FUNCTIONS.into_iter());
                        return Err(format!("there is no function {}{near}", quoted(name)));
                    }
                    let target = call.target.as_deref();
                    target.into_iter().chain(&call.args).try_for_each(|e| self.expression(e, depth))
                }
                Expr::List(list) => {
                    list.elements.iter().try_for_each(|e| self.expression(e, depth))
                }
                Expr::Select(select) => self.expression(&select.operand, depth),
                Expr::Map(map) => map.entries.iter().try_for_each(|entry| match &entry.expr {
                    EntryExpr::MapEntry(entry) => {
                        self.expression(&entry.key, depth)?;
                        self.expression(&entry.value, depth)
                    }
                    EntryExpr::StructField(field) => self.expression(&field.value, depth),
                }),
                Expr::Struct(_) => Err("messages have no meaning here".to_owned()),
                Expr::Comprehension(each) => {
                    if !self.scope.is_empty() {
                        return Err("it goes through a list for each item of a list".to_owned());
                    }
                    self.expression(&each.iter_range, depth)?;
                    if holds_comprehension(&each.iter_range, 0) {
                        return Err("it goes through a list that it makes from a list".to_owned());
                    }
                    self.scope.extend([each.iter_var.as_str(), each.accu_var.as_str()]);
                    self.scope.extend(each.iter_var2.as_deref());
                    for part in [&each.accu_init, &each.loop_cond, &each.loop_step, &each.result] {
                        self.expression(part, depth)?;
                    }
                    self.scope.clear();
                    Ok(())
                }
            }
        }

        fn variable(&self, name: &str) -> Result<(), String> {
            if VARIABLES.contains(&name) || self.scope.contains(&name) || name.starts_with('@') {
                return Ok(());
            }
            let near = suggestion(name, VARIABLES.into_iter());
            let known = VARIABLES.join(", ");
            let told = if near.is_empty() { format!("; there are {known}") } else { near };
            Err(format!("there is no variable {}{told}", quoted(name)))
        }
    }

    fn holds_comprehension(expression: &IdedExpr, depth: u32) -> bool {
        let within = |inner: &IdedExpr| holds_comprehension(inner, depth + 1);
        match &expression.expr {
            _ if depth > DEEPEST => true,
            Expr::Comprehension(_) => true,
            Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).any(within),
            Expr::List(list) => list.elements.iter().any(within),
            Expr::Select(select) => within(&select.operand),
            _ => false,
        }
    }
}

pub(crate) use built::Condition;
