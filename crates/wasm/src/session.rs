//! Running programs.

use tokio::runtime::Runtime;
use wasmtime::component::ResourceTable;
use wasmtime::{
    Extern, Func, Global, Instance, InstancePre, Memory, Store, Trap, Val, ValType, WasmBacktrace,
};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p2::bindings::Command;
use wasmtime_wasi::{I32Exit, WasiCtx, WasiCtxView, WasiView};

use crate::engine::{Engine, Metering};
use crate::error::{WasmError, chain, limit_of};
use crate::image::Image;
use crate::instrument::Shape;
use crate::limits::{Limits, Meter};
use crate::program::{Code, Program};
use crate::value::Value;
use crate::world::World;

/// What stands behind a module.
struct ModuleHost {
    wasi: WasiP1Ctx,
    meter: Meter,
}

/// What stands behind a component.
pub(crate) struct ComponentHost {
    wasi: WasiCtx,
    table: ResourceTable,
    pub(crate) meter: Meter,
}

impl WasiView for ComponentHost {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// Runs a command to its end: `_start` of a module, `wasi:cli/run` of a component. Answers its exit
/// code.
///
/// # Errors
/// Whatever keeps it from ending by itself.
pub fn run(program: &Program, world: &World, limits: Limits) -> Result<i32, WasmError> {
    let runtime = runtime()?;
    let ended = runtime.block_on(async {
        match &program.code {
            Code::Module(module) | Code::Open(module, _) => {
                run_module(program, module, world, limits).await
            }
            Code::Component(component) => run_component(program, component, world, limits).await,
        }
    });
    // A read of standard input that nobody waits for any more does not hold up the end.
    runtime.shutdown_background();
    match ended {
        Err(WasmError::Exited(code)) => Ok(code),
        other => other,
    }
}

async fn run_module(
    program: &Program,
    module: &wasmtime::Module,
    world: &World,
    limits: Limits,
) -> Result<i32, WasmError> {
    let pre = linked(&program.engine, module)?;
    let mut store = module_store(&program.engine, world, limits)?;
    let instance = pre.instantiate_async(&mut store).await;
    let instance = instance.map_err(|error| failed(&error, &limits, &store.data().meter))?;
    let start = instance.get_typed_func::<(), ()>(&mut store, "_start").map_err(|_| {
        let what = "it has no function _start, so it is no command: call one of its functions \
                    by name (--invoke)";
        WasmError::Export { what: what.to_owned() }
    })?;
    let ended = start.call_async(&mut store, ()).await;
    ended.map(|()| 0).map_err(|error| failed(&error, &limits, &store.data().meter))
}

async fn run_component(
    program: &Program,
    component: &wasmtime::component::Component,
    world: &World,
    limits: Limits,
) -> Result<i32, WasmError> {
    let pre = linked_component(&program.engine, component)?;
    let pre = wasmtime_wasi::p2::bindings::CommandPre::new(pre).map_err(|error| {
        let what = format!("it is no command (wasi:cli/run): {}", chain(&error));
        WasmError::Export { what }
    })?;
    let mut store = component_store(&program.engine, world, limits)?;
    let ended = async {
        let command: Command = pre.instantiate_async(&mut store).await?;
        command.wasi_cli_run().call_run(&mut store).await
    };
    let ended = ended.await;
    match ended {
        Ok(Ok(())) => Ok(0),
        Ok(Err(())) => Ok(1),
        Err(error) => Err(failed(&error, &limits, &store.data().meter)),
    }
}

pub(crate) fn linked_component(
    engine: &Engine,
    component: &wasmtime::component::Component,
) -> Result<wasmtime::component::InstancePre<ComponentHost>, WasmError> {
    let mut linker = wasmtime::component::Linker::new(&engine.inner);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)
        .map_err(|error| WasmError::Engine { what: chain(&error) })?;
    linker.instantiate_pre(component).map_err(|error| WasmError::Import { what: chain(&error) })
}

pub(crate) fn component_store(
    engine: &Engine,
    world: &World,
    limits: Limits,
) -> Result<Store<ComponentHost>, WasmError> {
    let host = ComponentHost {
        wasi: world.builder()?.build(),
        table: ResourceTable::new(),
        meter: Meter::new(limits),
    };
    let mut store = Store::new(&engine.inner, host);
    store.limiter(|host| &mut host.meter);
    arm(engine, &mut store, &limits)?;
    Ok(store)
}

/// A module whose functions are called one after the other, and whose memory can be kept and brought
/// back.
pub struct Session {
    runtime: Runtime,
    pre: InstancePre<ModuleHost>,
    program: Program,
    shape: Shape,
    world: World,
    limits: Limits,
    store: Store<ModuleHost>,
    instance: Instance,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("world", &self.world).finish_non_exhaustive()
    }
}

impl Session {
    /// Starts a module that was compiled for calls: its start function, and `_initialize` when it has
    /// one.
    ///
    /// # Errors
    /// Whatever keeps it from starting.
    pub fn start(program: &Program, world: &World, limits: Limits) -> Result<Self, WasmError> {
        let mut session = Self::instantiated(program, world, limits)?;
        let start = session.shape.start.clone();
        if let Some(start) = start {
            session.call(&start, &[])?;
        }
        if session.instance.get_func(&mut session.store, "_initialize").is_some() {
            session.call("_initialize", &[])?;
        }
        Ok(session)
    }

    /// Goes on with a module from an image of its memory.
    ///
    /// # Errors
    /// [`WasmError::Image`] for another module's image.
    pub fn resume(
        program: &Program,
        world: &World,
        limits: Limits,
        image: &Image,
    ) -> Result<Self, WasmError> {
        let mut session = Self::instantiated(program, world, limits)?;
        session.write(image)?;
        Ok(session)
    }

    fn instantiated(program: &Program, world: &World, limits: Limits) -> Result<Self, WasmError> {
        let Code::Open(module, shape) = &program.code else {
            let what = match &program.code {
                Code::Component(_) => "it is a component, whose parts nobody can look into",
                _ => "it was not compiled for calls",
            };
            let what = what.to_owned();
            return Err(WasmError::NotKept { what });
        };
        let runtime = runtime()?;
        let pre = linked(&program.engine, module)?;
        let (store, instance) =
            runtime.block_on(instantiate(&program.engine, &pre, world, limits))?;
        let (program, shape, world) = (program.clone(), shape.clone(), world.clone());
        Ok(Self { runtime, pre, program, shape, world, limits, store, instance })
    }

    /// Calls an exported function.
    ///
    /// # Errors
    /// [`WasmError::Export`] and [`WasmError::Value`] before it runs, and whatever keeps it from
    /// returning. After a trap or a limit the memory is as the function left it.
    pub fn call(&mut self, name: &str, arguments: &[Value]) -> Result<Vec<Value>, WasmError> {
        let function = self.function(name)?;
        let kind = function.ty(&self.store);
        let suits = kind.params().len() == arguments.len()
            && kind.params().zip(arguments).all(|(kind, value)| value.is_a(&kind));
        if !suits {
            return Err(unsuitable(name, kind.params()));
        }
        let values: Vec<Val> = arguments.iter().map(|value| value.into_val()).collect();
        let mut results = vec![Val::I32(0); kind.results().len()];
        self.store.data_mut().meter.refused = None;
        arm(&self.program.engine, &mut self.store, &self.limits)?;
        let call = function.call_async(&mut self.store, &values, &mut results);
        let ended = self.runtime.block_on(call);
        ended.map_err(|error| failed(&error, &self.limits, &self.store.data().meter))?;
        results.iter().map(Value::of).collect()
    }

    /// Calls an exported function with arguments as text, each read as the type that the function
    /// wants.
    ///
    /// # Errors
    /// As [`Self::call`]
    pub fn call_with(&mut self, name: &str, words: &[String]) -> Result<Vec<Value>, WasmError> {
        let kind = self.function(name)?.ty(&self.store);
        if kind.params().len() != words.len() {
            return Err(unsuitable(name, kind.params()));
        }
        let values = kind.params().zip(words).map(|(kind, word)| Value::parse(word, &kind));
        let values = values.collect::<Result<Vec<_>, _>>()?;
        self.call(name, &values)
    }

    fn function(&mut self, name: &str) -> Result<Func, WasmError> {
        self.instance
            .get_func(&mut self.store, name)
            .ok_or_else(|| WasmError::Export { what: format!("it exports no function `{name}`") })
    }

    /// The memory as it is now.
    ///
    /// Not in it: what the host keeps for the module, such as open files and positions in them, and
    /// how far random numbers and clocks have gone.
    ///
    /// # Errors
    /// [`WasmError::NotKept`] for a module that changes its tables or drops segments while it runs, or
    /// keeps references in globals.
    pub fn snapshot(&mut self) -> Result<Image, WasmError> {
        if let Some(obstacle) = &self.shape.obstacle {
            return Err(WasmError::NotKept { what: obstacle.clone() });
        }
        let memories = (0..self.shape.memories.len())
            .map(|at| Ok(self.memory(at)?.data(&self.store).to_vec()))
            .collect::<Result<_, WasmError>>()?;
        let globals = (0..self.shape.globals.len())
            .map(|at| {
                let global = self.global(at)?;
                bits(&global.get(&mut self.store))
            })
            .collect::<Result<_, WasmError>>()?;
        Ok(Image { module: self.program.digest, memories, globals })
    }

    /// Brings memory back. What the host keeps for the module begins anew: files are closed.
    ///
    /// # Errors
    /// [`WasmError::Image`] for another module's image; then nothing has changed.
    pub fn restore(&mut self, image: &Image) -> Result<(), WasmError> {
        self.check(image)?;
        let begun = instantiate(&self.program.engine, &self.pre, &self.world, self.limits);
        (self.store, self.instance) = self.runtime.block_on(begun)?;
        self.write(image)
    }

    fn check(&self, image: &Image) -> Result<(), WasmError> {
        if image.module != self.program.digest {
            let what = "it is of another module, or of another version of this one".to_owned();
            return Err(WasmError::Image { what });
        }
        let (memories, globals) = (self.shape.memories.len(), self.shape.globals.len());
        if image.memories.len() != memories || image.globals.len() != globals {
            let what = "it has not the memories and globals of this module".to_owned();
            return Err(WasmError::Image { what });
        }
        Ok(())
    }

    /// Writes an image into a new instance.
    fn write(&mut self, image: &Image) -> Result<(), WasmError> {
        self.check(image)?;
        let refused = |what: String| WasmError::Image { what };
        for (at, wanted) in image.memories.iter().enumerate() {
            let memory = self.memory(at)?;
            let page = memory.page_size(&self.store);
            let (has, wants) = (memory.data_size(&self.store) as u64, wanted.len() as u64);
            if wants < has || wants % page != 0 {
                return Err(refused("the size of a memory is none that it can have".to_owned()));
            }
            let grown = memory.grow_async(&mut self.store, (wants - has) / page);
            let grown = self.runtime.block_on(grown);
            grown.map_err(|error| match self.store.data().meter.refused {
                Some(limit) => WasmError::Limit(limit),
                None => refused(chain(&error)),
            })?;
            memory.data_mut(&mut self.store).copy_from_slice(wanted);
        }
        for (at, wanted) in image.globals.iter().enumerate() {
            let global = self.global(at)?;
            let value = value(*wanted, global.ty(&self.store).content());
            let value = value.ok_or_else(|| refused("a global holds a reference".to_owned()))?;
            let set = global.set(&mut self.store, value);
            set.map_err(|error| refused(chain(&error)))?;
        }
        Ok(())
    }

    fn memory(&mut self, at: usize) -> Result<Memory, WasmError> {
        self.exported(|shape| shape.memories.get(at)).and_then(|found| match found {
            Extern::Memory(memory) => Ok(memory),
            _ => Err(lost()),
        })
    }

    fn global(&mut self, at: usize) -> Result<Global, WasmError> {
        self.exported(|shape| shape.globals.get(at)).and_then(|found| match found {
            Extern::Global(global) => Ok(global),
            _ => Err(lost()),
        })
    }

    fn exported(&mut self, name: impl Fn(&Shape) -> Option<&String>) -> Result<Extern, WasmError> {
        let name = name(&self.shape).ok_or_else(lost)?;
        self.instance.get_export(&mut self.store, name).ok_or_else(lost)
    }
}

/// Cannot happen: the names are those that were exported.
fn lost() -> WasmError {
    WasmError::NotKept { what: "a part of it is not found any more".to_owned() }
}

fn unsuitable(name: &str, wanted: impl Iterator<Item = ValType>) -> WasmError {
    let wanted: Vec<String> = wanted.map(|kind| kind.to_string()).collect();
    WasmError::Value { what: format!("`{name}` takes ({})", wanted.join(", ")) }
}

/// One thread: whoever runs here is limited in how many it may start.
pub(crate) fn runtime() -> Result<Runtime, WasmError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| WasmError::Engine { what: error.to_string() })
}

fn linked(
    engine: &Engine,
    module: &wasmtime::Module,
) -> Result<InstancePre<ModuleHost>, WasmError> {
    let mut linker = wasmtime::Linker::new(&engine.inner);
    wasmtime_wasi::p1::add_to_linker_async(&mut linker, |host: &mut ModuleHost| &mut host.wasi)
        .map_err(|error| WasmError::Engine { what: chain(&error) })?;
    linker.instantiate_pre(module).map_err(|error| WasmError::Import { what: chain(&error) })
}

fn module_store(
    engine: &Engine,
    world: &World,
    limits: Limits,
) -> Result<Store<ModuleHost>, WasmError> {
    let host = ModuleHost { wasi: world.preview1()?, meter: Meter::new(limits) };
    let mut store = Store::new(&engine.inner, host);
    store.limiter(|host| &mut host.meter);
    arm(engine, &mut store, &limits)?;
    Ok(store)
}

async fn instantiate(
    engine: &Engine,
    pre: &InstancePre<ModuleHost>,
    world: &World,
    limits: Limits,
) -> Result<(Store<ModuleHost>, Instance), WasmError> {
    let mut store = module_store(engine, world, limits)?;
    let instance = pre.instantiate_async(&mut store).await;
    let instance = instance.map_err(|error| failed(&error, &limits, &store.data().meter))?;
    Ok((store, instance))
}

/// Gives a call its fuel and its time.
pub(crate) fn arm<T>(
    engine: &Engine,
    store: &mut Store<T>,
    limits: &Limits,
) -> Result<(), WasmError> {
    let unmet = |what: &str| WasmError::Engine { what: what.to_owned() };
    match engine.settings().metering {
        Metering::Fuel => {
            let set = store.set_fuel(limits.fuel.unwrap_or(u64::MAX));
            set.map_err(|error| unmet(&chain(&error)))?;
        }
        _ if limits.fuel.is_some() => return Err(unmet("it does not count fuel")),
        Metering::Time => {
            // Without a limit, so late that nobody sees it.
            let ticks = limits.time.map_or(Ok(u64::MAX / 2), |span| engine.ticks(span))?;
            store.set_epoch_deadline(ticks);
        }
        Metering::None => {}
    }
    match limits.time {
        Some(_) if engine.settings().metering != Metering::Time => {
            Err(unmet("it does not count time"))
        }
        _ => Ok(()),
    }
}

/// What an error of the engine means.
pub(crate) fn failed(error: &wasmtime::Error, limits: &Limits, meter: &Meter) -> WasmError {
    if let Some(I32Exit(code)) = error.downcast_ref::<I32Exit>() {
        return WasmError::Exited(*code);
    }
    let trap = error.downcast_ref::<Trap>();
    if let Some(limit) = trap.and_then(|trap| limit_of(*trap, limits)) {
        return WasmError::Limit(limit);
    }
    match (trap, meter.refused) {
        // What a module needs from the first was refused: it did not begin.
        (None, Some(limit)) => WasmError::Limit(limit),
        (Some(trap), after) => WasmError::Trap { what: told(*trap, error), after },
        (None, None) => WasmError::Trap { what: chain(error), after: None },
    }
}

/// What happened, then where.
fn told(trap: Trap, error: &wasmtime::Error) -> String {
    let text = trap.to_string();
    let mut text = text.strip_prefix("wasm trap: ").unwrap_or(&text).to_owned();
    if let Some(trace) = error.downcast_ref::<WasmBacktrace>().map(ToString::to_string) {
        text.push('\n');
        text.push_str(trace.trim_end());
    }
    text
}

fn bits(value: &Val) -> Result<u128, WasmError> {
    match value {
        Val::I32(number) => Ok(u128::from(number.cast_unsigned())),
        Val::I64(number) => Ok(u128::from(number.cast_unsigned())),
        Val::F32(bits) => Ok(u128::from(*bits)),
        Val::F64(bits) => Ok(u128::from(*bits)),
        Val::V128(vector) => Ok(vector.as_u128()),
        _ => Err(WasmError::NotKept { what: "it has a global that holds a reference".to_owned() }),
    }
}

/// The value with these bits; the lower ones, where they are too many.
fn value(bits: u128, kind: &ValType) -> Option<Val> {
    Some(match kind {
        ValType::I32 => Val::I32(bits as i32),
        ValType::I64 => Val::I64(bits as i64),
        ValType::F32 => Val::F32(bits as u32),
        ValType::F64 => Val::F64(bits as u64),
        ValType::V128 => Val::V128(bits.into()),
        ValType::Ref(_) => return None,
    })
}
