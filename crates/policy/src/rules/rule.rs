//! One rule.

use ctrlz_core::verdict::Risk;

use super::kind_set::KindSet;
use super::text::{Text, Texts};
use crate::effect::{EffectKind, Qualities};
use crate::evaluate::RemarkKind;
use crate::path_class::PathClass;

/// What is said of an effect, a call or a spelling. `rules/form.rs`
/// tells what each field asks; an empty one asks nothing.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Its name.
    pub id: Text,
    /// The file that it stands in.
    pub family: Text,
    /// How much it says that is risked.
    pub risk: Risk,
    /// Why.
    pub reason: Text,
    /// What to do instead.
    pub hint: Text,
    pub(crate) effects: KindSet<EffectKind>,
    pub(crate) classes: KindSet<PathClass>,
    pub(crate) paths: Texts,
    pub(crate) not_paths: Texts,
    pub(crate) hosts: Texts,
    pub(crate) named: Texts,
    pub(crate) with: Qualities,
    pub(crate) with_any: Qualities,
    pub(crate) without: Qualities,
    pub(crate) remarks: KindSet<RemarkKind>,
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
