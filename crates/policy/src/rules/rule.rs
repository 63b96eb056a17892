//! One rule.

use std::borrow::Cow;

use ctrlz_core::verdict::Risk;

use crate::effect::{EffectKind, Qualities};
use crate::evaluate::RemarkKind;
use crate::path_class::PathClass;

type Texts = Cow<'static, [Cow<'static, str>]>;

/// What is said of an effect, a call or a spelling. `rules/form.rs`
/// tells what each field asks; an empty one asks nothing.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Its name.
    pub id: Cow<'static, str>,
    /// The file that it stands in.
    pub family: Cow<'static, str>,
    /// How much it says that is risked.
    pub risk: Risk,
    /// Why.
    pub reason: Cow<'static, str>,
    /// What to do instead.
    pub hint: Cow<'static, str>,
    pub(crate) effects: Cow<'static, [EffectKind]>,
    pub(crate) classes: Cow<'static, [PathClass]>,
    pub(crate) paths: Texts,
    pub(crate) not_paths: Texts,
    pub(crate) hosts: Texts,
    pub(crate) named: Texts,
    pub(crate) with: Qualities,
    pub(crate) with_any: Qualities,
    pub(crate) without: Qualities,
    pub(crate) remarks: Cow<'static, [RemarkKind]>,
    pub(crate) programs: Texts,
    pub(crate) not_programs: Texts,
    pub(crate) words: Texts,
    pub(crate) any_words: Texts,
    pub(crate) not_words: Texts,
    pub(crate) options: Texts,
    pub(crate) all_options: Texts,
    pub(crate) not_options: Texts,
    pub(crate) arguments: Texts,
    pub(crate) all_arguments: Texts,
    pub(crate) not_arguments: Texts,
}
