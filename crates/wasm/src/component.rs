//! Calling functions of components by name.

use wasmtime::Store;
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, ComponentExportIndex, InstancePre, Type, Val};

use crate::error::{WasmError, chain};
use crate::limits::Limits;
use crate::program::{Code, Program};
use crate::session::{ComponentHost, component_store, failed, linked_component, runtime};
use crate::world::World;

/// What stands between the name of an interface and that of a function in it.
const IN: char = '#';

/// Starts a component and calls one of its functions, by its name or as `INTERFACE#NAME`. Arguments are
/// texts in WAVE, the notation of the component model for values, but for strings, which are taken as they
/// are. Answers the results in WAVE.
///
/// # Errors
/// [`WasmError::Export`] and [`WasmError::Value`] before it runs, and whatever keeps it from returning.
pub fn call_component(
    program: &Program,
    world: &World,
    limits: Limits,
    (name, words): (&str, &[String]),
) -> Result<Vec<String>, WasmError> {
    let Code::Component(component) = &program.code else {
        return Err(WasmError::Export { what: "it is no component".to_owned() });
    };
    let pre = linked_component(&program.engine, component)?;
    let (function, at) = find(component, &program.engine.inner, name)?;
    let arguments = arguments(&function, name, words)?;
    let mut results = vec![Val::Bool(false); function.results().len()];
    let runtime = runtime()?;
    let mut store = component_store(&program.engine, world, limits)?;
    let called = runtime.block_on(call(&pre, &mut store, &at, (&arguments, &mut results)));
    // A read of standard input that nobody waits for any more does not hold up the end.
    runtime.shutdown_background();
    called.map_err(|error| failed(&error, &limits, &store.data().meter))?;
    let told =
        |value: &Val| value.to_wave().map_err(|error| WasmError::Value { what: chain(&error) });
    results.iter().map(told).collect()
}

async fn call(
    pre: &InstancePre<ComponentHost>,
    store: &mut Store<ComponentHost>,
    at: &ComponentExportIndex,
    (arguments, results): (&[Val], &mut [Val]),
) -> wasmtime::Result<()> {
    let instance = pre.instantiate_async(&mut *store).await?;
    let function = instance.get_func(&mut *store, at);
    let function = function.ok_or_else(|| wasmtime::Error::msg("its function is gone"))?;
    function.call_async(store, arguments, results).await
}

/// The function of that name.
fn find(
    component: &Component,
    engine: &wasmtime::Engine,
    name: &str,
) -> Result<(ComponentFunc, ComponentExportIndex), WasmError> {
    let (interface, function) = match name.rsplit_once(IN) {
        Some((interface, function)) => (Some(interface), function),
        None => (None, name),
    };
    let instance = interface.map(|interface| component.get_export(None, interface));
    let found = match &instance {
        None => component.get_export(None, function),
        Some(Some((ComponentItem::ComponentInstance(_), at))) => {
            component.get_export(Some(at), function)
        }
        Some(_) => None,
    };
    match found {
        Some((ComponentItem::ComponentFunc(kind), at)) => Ok((kind, at)),
        _ => {
            let there = names(component, engine);
            let there = match there.is_empty() {
                true => "it exports none".to_owned(),
                false => format!("it exports {}", there.join(", ")),
            };
            Err(WasmError::Export { what: format!("there is no function `{name}`: {there}") })
        }
    }
}

/// The names of all functions.
fn names(component: &Component, engine: &wasmtime::Engine) -> Vec<String> {
    let mut found = Vec::new();
    let kind = component.component_type();
    for (name, export) in kind.exports(engine) {
        match export.ty {
            ComponentItem::ComponentFunc(_) => found.push(format!("`{name}`")),
            ComponentItem::ComponentInstance(instance) => {
                for (function, export) in instance.exports(engine) {
                    if matches!(export.ty, ComponentItem::ComponentFunc(_)) {
                        found.push(format!("`{name}{IN}{function}`"));
                    }
                }
            }
            _ => {}
        }
    }
    found.sort();
    found
}

fn arguments(
    function: &ComponentFunc,
    name: &str,
    words: &[String],
) -> Result<Vec<Val>, WasmError> {
    let wanted: Vec<(&str, Type)> = function.params().collect();
    if wanted.len() != words.len() {
        let wanted: Vec<&str> = wanted.iter().map(|(name, _)| *name).collect();
        let what = format!("`{name}` takes ({})", wanted.join(", "));
        return Err(WasmError::Value { what });
    }
    let read = |((name, kind), word): (&(&str, Type), &String)| match kind {
        Type::String => Ok(Val::String(word.clone())),
        kind => Val::from_wave(kind, word).map_err(|error| WasmError::Value {
            what: format!("`{word}` cannot be the argument `{name}`: {}", chain(&error)),
        }),
    };
    wanted.iter().zip(words).map(read).collect()
}
