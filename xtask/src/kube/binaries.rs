//! Finding the programs, or having them built. Never here: how they are built, a mixture of versions of the two that are
//! Kubernetes' own.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::KubeError;
use super::build;
use super::folders;
use crate::packages::find;

/// The program that runs pods.
pub(crate) const KUBELET: &str = "test-kubelet";

/// The programs of which a cluster is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Binaries {
    /// The store below.
    pub(crate) etcd: PathBuf,
    /// The API server.
    pub(crate) kube_apiserver: PathBuf,
    /// What turns a Deployment into Pods.
    pub(crate) kube_controller_manager: PathBuf,
    /// What runs the Pods: this project's own, so that somebody's other folder lacks it.
    pub(crate) kubelet: Option<PathBuf>,
}

impl Binaries {
    /// Those of one folder; etcd, which any version of Kubernetes can use, may be elsewhere on the PATH.
    fn within(folder: &Path) -> Result<Self, &'static str> {
        let own = |name| Some(folder.join(name)).filter(|path| path.is_file()).ok_or(name);
        Ok(Self {
            kube_apiserver: own("kube-apiserver")?,
            kube_controller_manager: own("kube-controller-manager")?,
            etcd: own("etcd").or_else(|name| find(name).ok_or(name))?,
            kubelet: own(KUBELET).ok(),
        })
    }

    /// Those that this project has built, all of them.
    fn built(folder: &Path) -> Result<Self, &'static str> {
        let found = Self::within(folder)?;
        if found.kubelet.is_some() { Ok(found) } else { Err(KUBELET) }
    }

    /// The minor version of Kubernetes 1 that the API server says it is.
    pub(crate) fn minor(&self) -> Option<u32> {
        let output = Command::new(&self.kube_apiserver).arg("--version").output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.split_once("v1.")?.1.split('.').next()?.parse().ok()
    }
}

/// Finds the programs in the folder `KUBEBUILDER_ASSETS`, else in the project's cache, else builds them into the cache.
///
/// With `KUBEBUILDER_ASSETS` the kubelet is the cache's, which can be used with any version; but it is not built for that.
pub(crate) fn ensure(progress: &dyn Fn(&str)) -> Result<Binaries, KubeError> {
    let cache = folders::cache()?;
    let built = cache.join(format!("kubernetes-{}-r{}", build::VERSION, build::RECIPE));
    if let Some(folder) = env::var_os("KUBEBUILDER_ASSETS").filter(|folder| !folder.is_empty()) {
        match Binaries::within(Path::new(&folder)) {
            Ok(mut found) => {
                found.kubelet = found.kubelet.or_else(|| Binaries::built(&built).ok()?.kubelet);
                if found.kubelet.is_none() {
                    progress(&format!(
                        "NO PODS WILL RUN, and tests that need some will fail: neither KUBEBUILDER_ASSETS nor the project's \
                         cache has {KUBELET}; unset KUBEBUILDER_ASSETS once to have it built"
                    ));
                }
                return Ok(found);
            }
            // Its usual filler brings kubectl instead of the controller manager, so this is no mistake of the user's.
            Err(missing) => {
                progress(&format!("KUBEBUILDER_ASSETS has no {missing}; looking in the project's cache instead"));
            }
        }
    }
    if let Ok(found) = Binaries::built(&built) {
        return Ok(found);
    }
    let _lock = folders::lock(&cache.join("kubernetes-build.lock"), progress)?;
    // Another run may have built them while this one waited for the lock.
    if let Ok(found) = Binaries::built(&built) {
        return Ok(found);
    }
    build::build(&cache, &built, progress)?;
    Binaries::built(&built).map_err(|what| KubeError::Missing {
        what,
        step: "built it",
        folder: built.clone(),
        log: cache.join("kubernetes-build.log"),
    })
}
