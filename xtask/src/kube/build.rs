//! Building Kubernetes once, from Debian's source package with Debian's Go, into the cache. Never here: a half-made result
//! – the finished folder is renamed into place – or a leftover of one: the work folder goes, whatever happens, and what an
//! interrupted run left goes with the next.
//!
//! The source package is the one of bookworm, 1.20.2; later suites ship kubectl alone. Its Go code wants Go's old tree
//! layout (`GOPATH`, no modules), and lacks one generated file, which its own vendored generator makes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::apt::Apt;
use super::folders;
use super::openapi;
use super::steps::Steps;
use super::{KUBELET, KubeError};

/// What is built; the cache's folder is named after it.
pub(crate) const VERSION: &str = "1.20.2";
/// Counts the recipe's changes, so that what an older one built is built anew.
pub(crate) const RECIPE: &str = "3";
/// The Go of the same suite. Its package is unpacked into the work folder, so a Go on the machine is neither needed nor used.
const GO: &str = "go-1.19";
const GO_PACKAGES: [&str; 2] = ["golang-1.19-go", "golang-1.19-src"];
/// A package whose copy in Kubernetes' tree is too old for this Go: the server would crash as soon as it wrote a map in
/// order. The suite has the next release.
const REFLECT: (&str, &str) = ("golang-github-modern-go-reflect2-dev", "github.com/modern-go/reflect2");
const BUILT: [&str; 3] = ["kube-apiserver", "kube-controller-manager", KUBELET];
/// The kubelet for tests. It is put into Kubernetes' tree, for the streaming code and the packages that are there.
const KUBELET_SOURCE: [(&str, &str); 4] = [
    ("main.go", include_str!("kubelet/main.go")),
    ("output.go", include_str!("kubelet/output.go")),
    ("pods.go", include_str!("kubelet/pods.go")),
    ("streams.go", include_str!("kubelet/streams.go")),
];

/// Builds into `finished`, a folder in `cache` that holds etcd and the three programs afterwards.
///
/// The caller holds the lock.
pub(crate) fn build(cache: &Path, finished: &Path, progress: &dyn Fn(&str)) -> Result<(), KubeError> {
    let steps = Steps::new(cache.join("kubernetes-build.log"), progress)?;
    steps.say(&format!(
        "building Kubernetes {VERSION} once; takes 5 minutes (more on a busy machine) and 3 GB meanwhile"
    ));
    steps.say(&format!("the programs' own words are in {}", steps.log().display()));
    remove_leftovers(cache, &steps)?;
    // Named after this process: programs of an interrupted run may still be writing to theirs.
    let work = cache.join(format!("{LEFTOVER}{}", std::process::id()));
    folders::private_folder(&work)?;
    let built = Recipe { work: &work, steps: &steps }.cook().and_then(|result| {
        folders::remove(finished)?;
        fs::rename(&result, finished).map_err(KubeError::file("put the programs into", finished))
    });
    steps.say("remove the sources and what else the build needed");
    let cleaned = folders::remove(&work);
    built.and(cleaned)?;
    steps.say("Kubernetes is built");
    Ok(())
}

const LEFTOVER: &str = "kubernetes-building-";

fn remove_leftovers(cache: &Path, steps: &Steps) -> Result<(), KubeError> {
    let entries = fs::read_dir(cache).map_err(KubeError::file("list the cache", cache))?;
    for path in entries.filter_map(|entry| entry.ok().map(|entry| entry.path())) {
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(LEFTOVER)) {
            steps.say(&format!("remove what an interrupted build left in {}", path.display()));
            // A program of that build may still be writing there; what it keeps from being removed goes another time.
            let _ = folders::remove(&path);
        }
    }
    Ok(())
}

struct Recipe<'a> {
    work: &'a Path,
    steps: &'a Steps<'a>,
}

impl Recipe<'_> {
    fn cook(&self) -> Result<PathBuf, KubeError> {
        let (root, result) = (self.work.join("root"), self.work.join("result"));
        for folder in [&root, &result, &self.work.join("tmp"), &self.gopath().join("src/k8s.io")] {
            folders::private_folder(folder)?;
        }
        let apt = Apt::new(self.work.join("apt"), self.steps)?;
        apt.program("dpkg-source", "dpkg-dev", self.steps)?;
        apt.unpack(&["etcd-server"], &root, self.steps)?;
        apt.unpack(&GO_PACKAGES, &root, self.steps)?;
        apt.unpack(&[REFLECT.0], &root, self.steps)?;
        self.unpack_source(&apt)?;
        self.renew_reflect()?;
        self.generate_openapi()?;
        self.add_kubelet()?;
        for program in BUILT {
            let mut go = self.go(&["build", "-ldflags", &ldflags(), "-o"]);
            go.arg(result.join(program)).arg(format!("./cmd/{program}"));
            self.steps.run(&format!("compile {program} (takes minutes)"), &mut go)?;
        }
        let etcd = root.join("usr/bin/etcd");
        fs::rename(&etcd, result.join("etcd")).map_err(KubeError::file("keep etcd from", &etcd))?;
        Ok(result)
    }

    fn unpack_source(&self, apt: &Apt) -> Result<(), KubeError> {
        let description = apt.source("kubernetes", self.steps)?;
        let right = |path: &PathBuf| path.to_string_lossy().contains(VERSION);
        let description = description.filter(right).ok_or_else(|| KubeError::Missing {
            what: "the source of Kubernetes 1.20.2",
            step: "downloaded it",
            folder: self.work.join("apt"),
            log: self.steps.log().to_owned(),
        })?;
        // `--no-check`: apt has checked the files already, and the maintainer's own key is not on every machine.
        let mut unpack = Command::new("dpkg-source");
        unpack.args(["--no-check", "-x"]).arg(description).arg(self.tree());
        self.steps.run("unpack the source of kubernetes", &mut unpack)
    }

    /// Puts the suite's release of a package in the place of the older one in the tree.
    fn renew_reflect(&self) -> Result<(), KubeError> {
        let old = self.tree().join("vendor").join(REFLECT.1);
        let new = self.work.join("root/usr/share/gocode/src").join(REFLECT.1);
        folders::remove(&old)?;
        folders::private_folder(&old)?;
        for entry in fs::read_dir(&new).map_err(KubeError::file("list the package", &new))?.flatten() {
            let file = entry.path();
            let name = file.file_name().unwrap_or_default();
            // Tests would want packages that are not there.
            if file.is_file() && !name.to_string_lossy().ends_with("_test.go") {
                fs::copy(&file, old.join(name)).map_err(KubeError::file("copy the package", &file))?;
            }
        }
        Ok(())
    }

    fn add_kubelet(&self) -> Result<(), KubeError> {
        let folder = self.tree().join("cmd").join(KUBELET);
        folders::private_folder(&folder)?;
        KUBELET_SOURCE.iter().try_for_each(|(name, text)| folders::private_file(&folder.join(name), text))
    }

    fn generate_openapi(&self) -> Result<(), KubeError> {
        let generator = self.work.join("openapi-gen");
        let mut go = self.go(&["build", "-o"]);
        go.arg(&generator).arg("./vendor/k8s.io/kube-openapi/cmd/openapi-gen");
        self.steps.run("compile the OpenAPI generator", &mut go)?;
        let mut generate = self.in_tree(&generator);
        generate.args(["--logtostderr", "-h", "hack/boilerplate/boilerplate.generatego.txt"]);
        generate.args(["-i", &openapi::packages(&self.tree())?]);
        generate.args(["-p", "k8s.io/kubernetes/pkg/generated/openapi", "-O", "zz_generated.openapi"]);
        generate.arg("-o").arg(self.gopath().join("src")).arg("-r").arg(self.work.join("violations"));
        self.steps.run("generate the OpenAPI definitions", &mut generate)
    }

    fn gopath(&self) -> PathBuf {
        self.work.join("go")
    }

    fn tree(&self) -> PathBuf {
        self.gopath().join("src/k8s.io/kubernetes")
    }

    fn go(&self, arguments: &[&str]) -> Command {
        let mut go = self.in_tree(&self.goroot().join("bin/go"));
        go.args(arguments);
        go
    }

    fn goroot(&self) -> PathBuf {
        self.work.join("root/usr/lib").join(GO)
    }

    /// A program run in Kubernetes' tree with Go's surroundings, none of them the user's own.
    fn in_tree(&self, program: &Path) -> Command {
        let mut path = self.goroot().join("bin").into_os_string();
        path.push(":/usr/local/bin:/usr/bin:/bin");
        let mut command = Command::new(program);
        command.current_dir(self.tree()).env("PATH", path);
        command.env("GOROOT", self.goroot()).env("GOPATH", self.gopath());
        command.env("GOCACHE", self.work.join("go-cache")).env("GOTMPDIR", self.work.join("tmp"));
        command.env("GO111MODULE", "off").env("GOENV", "off").env("GOFLAGS", "");
        // Without C the programs stand alone and need no C compiler.
        command.env("CGO_ENABLED", "0");
        command
    }
}

/// No symbols, for size; and the version, which an ordinary release gets from git and would report as v0.0.0 here – in two
/// packages, the first for what the programs say of themselves, the second for `/version`.
fn ldflags() -> String {
    let mut parts = VERSION.split('.');
    let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let mut flags = "-s -w".to_owned();
    for package in ["component-base/version", "client-go/pkg/version"] {
        for (name, value) in [("gitVersion", &*format!("v{VERSION}")), ("gitMajor", major), ("gitMinor", minor)] {
            flags += &format!(" -X k8s.io/kubernetes/vendor/k8s.io/{package}.{name}={value}");
        }
    }
    flags
}
