//! Why a task did not do what it should: a sentence for the person at the keyboard, and what led to it.

use std::error::Error;

/// A task's failure.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub(crate) struct TaskError {
    what: String,
    #[source]
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl TaskError {
    /// Says what went wrong and what to do.
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), source: None }
    }

    /// Says what was tried when another error came.
    pub(crate) fn because(what: impl Into<String>, source: impl Error + Send + Sync + 'static) -> Self {
        Self { what: what.into(), source: Some(Box::new(source)) }
    }
}

impl From<kv_server::failure::Failure> for TaskError {
    fn from(failure: kv_server::failure::Failure) -> Self {
        Self::because("refused", failure)
    }
}

impl From<crate::kube::KubeError> for TaskError {
    fn from(error: crate::kube::KubeError) -> Self {
        Self::because("the Kubernetes for tests", error)
    }
}

/// A task's result.
pub(crate) type Done<T = ()> = Result<T, TaskError>;

/// Adds what was tried to an error.
pub(crate) trait Tried<T> {
    /// Says what was tried.
    fn tried(self, what: &str) -> Done<T>;
}

impl<T, E: Error + Send + Sync + 'static> Tried<T> for Result<T, E> {
    fn tried(self, what: &str) -> Done<T> {
        self.map_err(|error| TaskError::because(what, error))
    }
}
