//! A cluster's keys: a CA, the API server's certificate signed by it, the key that signs service account tokens, random
//! tokens. Never here: a key that outlives its cluster.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use rcgen::KeyPair;

use super::KubeError;
use super::folders::private_file;
use crate::certificates::Authority;

/// Writes `ca.crt`, `server.crt`, `server.key` and both halves of `service-accounts` into `folder`; answers with the CA.
pub(crate) fn write(folder: &Path) -> Result<String, KubeError> {
    let told = |what| move |source| KubeError::Certificate { what, source };
    // The CA's key is dropped after this one use, so nobody can sign a second certificate.
    let ca = Authority::new("KubeVision test cluster CA").map_err(told("CA"))?;
    let server = ca.sign("kube-apiserver").map_err(told("server certificate"))?;
    private_file(&folder.join("ca.crt"), ca.certificate())?;
    private_file(&folder.join("server.crt"), &server.certificate)?;
    private_file(&folder.join("server.key"), &server.key)?;
    let accounts_key = KeyPair::generate().map_err(told("keys"))?;
    private_file(&folder.join("service-accounts.key"), &accounts_key.serialize_pem())?;
    private_file(&folder.join("service-accounts.pub"), &accounts_key.public_key_pem())?;
    Ok(ca.certificate().to_owned())
}

/// 256 random bits as hexadecimal text.
pub(crate) fn token() -> Result<String, KubeError> {
    let random = Path::new("/dev/urandom");
    let mut bytes = [0_u8; 32];
    let read = File::open(random).and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(KubeError::file("read random bytes", random))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
