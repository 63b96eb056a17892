//! Numbers as arguments and results of functions.

use std::fmt;

use wasmtime::{Val, ValType};

use crate::error::WasmError;

/// A value of one of the four number types. Those of floating point are kept by their bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// `i32`
    I32(i32),
    /// `i64`
    I64(i64),
    /// `f32`, by its bits
    F32(u32),
    /// `f64`, by its bits
    F64(u64),
}

impl Value {
    /// Reads `text` as a value of that type. Integers may be written without a sign up to the
    /// largest unsigned one.
    pub(crate) fn parse(text: &str, kind: &ValType) -> Result<Self, WasmError> {
        let value = match kind {
            ValType::I32 => {
                text.parse().ok().or_else(|| text.parse().ok().map(u32::cast_signed)).map(Self::I32)
            }
            ValType::I64 => {
                text.parse().ok().or_else(|| text.parse().ok().map(u64::cast_signed)).map(Self::I64)
            }
            ValType::F32 => text.parse().ok().map(|number: f32| Self::F32(number.to_bits())),
            ValType::F64 => text.parse().ok().map(|number: f64| Self::F64(number.to_bits())),
            other => return Err(unsuitable(other)),
        };
        value.ok_or_else(|| WasmError::Value { what: format!("`{text}` is no {kind}") })
    }

    pub(crate) fn of(value: &Val) -> Result<Self, WasmError> {
        match value {
            Val::I32(number) => Ok(Self::I32(*number)),
            Val::I64(number) => Ok(Self::I64(*number)),
            Val::F32(bits) => Ok(Self::F32(*bits)),
            Val::F64(bits) => Ok(Self::F64(*bits)),
            Val::V128(_) => Err(unsuitable(&ValType::V128)),
            _ => Err(WasmError::Value { what: "a reference cannot be told".to_owned() }),
        }
    }

    pub(crate) fn into_val(self) -> Val {
        match self {
            Self::I32(number) => Val::I32(number),
            Self::I64(number) => Val::I64(number),
            Self::F32(bits) => Val::F32(bits),
            Self::F64(bits) => Val::F64(bits),
        }
    }

    pub(crate) fn is_a(self, kind: &ValType) -> bool {
        matches!(
            (self, kind),
            (Self::I32(_), ValType::I32)
                | (Self::I64(_), ValType::I64)
                | (Self::F32(_), ValType::F32)
                | (Self::F64(_), ValType::F64)
        )
    }
}

fn unsuitable(kind: &ValType) -> WasmError {
    WasmError::Value { what: format!("{kind} is no number, and cannot be given or told as one") }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::I32(number) => write!(f, "{number}"),
            Self::I64(number) => write!(f, "{number}"),
            Self::F32(bits) => write!(f, "{}", f32::from_bits(*bits)),
            Self::F64(bits) => write!(f, "{}", f64::from_bits(*bits)),
        }
    }
}
