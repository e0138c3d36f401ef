//! Finding the three programs, or having them built. Never here: how they are built, a mixture of versions of the two
//! that are Kubernetes' own.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::KubeError;
use super::apt::find;
use super::build;
use super::folders;

/// The programs of which a cluster is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Binaries {
    /// The store below.
    pub(crate) etcd: PathBuf,
    /// The API server.
    pub(crate) kube_apiserver: PathBuf,
    /// What turns a Deployment into Pods.
    pub(crate) kube_controller_manager: PathBuf,
}

impl Binaries {
    /// Those of one folder; etcd, which any version of Kubernetes can use, may be elsewhere on the PATH.
    fn within(folder: &Path) -> Result<Self, &'static str> {
        let own = |name| Some(folder.join(name)).filter(|path| path.is_file()).ok_or(name);
        Ok(Self {
            kube_apiserver: own("kube-apiserver")?,
            kube_controller_manager: own("kube-controller-manager")?,
            etcd: own("etcd").or_else(|name| find(name).ok_or(name))?,
        })
    }

    /// The minor version of Kubernetes 1 that the API server says it is.
    pub(crate) fn minor(&self) -> Option<u32> {
        let output = Command::new(&self.kube_apiserver).arg("--version").output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.split_once("v1.")?.1.split('.').next()?.parse().ok()
    }
}

/// Finds the programs in the folder `KUBEBUILDER_ASSETS`, else in the project's cache, else builds them into the cache.
pub(crate) fn ensure(progress: &dyn Fn(&str)) -> Result<Binaries, KubeError> {
    if let Some(folder) = env::var_os("KUBEBUILDER_ASSETS").filter(|folder| !folder.is_empty()) {
        match Binaries::within(Path::new(&folder)) {
            Ok(found) => return Ok(found),
            // Its usual filler brings kubectl instead of the controller manager, so this is no mistake of the user's.
            Err(missing) => {
                progress(&format!("KUBEBUILDER_ASSETS has no {missing}; looking in the project's cache instead"));
            }
        }
    }
    let cache = folders::cache()?;
    let folder = cache.join(format!("kubernetes-{}-r{}", build::VERSION, build::RECIPE));
    if let Ok(found) = Binaries::within(&folder) {
        return Ok(found);
    }
    let _lock = folders::lock(&cache.join("kubernetes-build.lock"), progress)?;
    // Another run may have built them while this one waited for the lock.
    if let Ok(found) = Binaries::within(&folder) {
        return Ok(found);
    }
    build::build(&cache, &folder, progress)?;
    Binaries::within(&folder).map_err(|what| KubeError::Missing {
        what,
        step: "built it",
        folder,
        log: cache.join("kubernetes-build.log"),
    })
}
