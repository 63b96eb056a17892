//! Loading configurations from a host's files.

#[cfg(test)]
mod merging;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod scene;
#[cfg(test)]
mod trust;
