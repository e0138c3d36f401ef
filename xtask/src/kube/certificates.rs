//! A cluster's keys: a CA, the certificates of the API server and the kubelet signed by it, and the one that the API server
//! shows the kubelet; the key that signs service account tokens; random tokens. Never here: a key that outlives its cluster.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use rcgen::{ExtendedKeyUsagePurpose, KeyPair};

use super::KubeError;
use super::folders::private_file;
use crate::certificates::Authority;

/// Writes into `folder` the `.crt` of `ca`, and `.crt` and `.key` of `server`, `kubelet` and `kubelet-client`, and both halves
/// of `service-accounts`; answers with the CA.
pub(crate) fn write(folder: &Path) -> Result<String, KubeError> {
    let told = |what| move |source| KubeError::Certificate { what, source };
    // The CA's key is dropped at the end, so nobody can sign another certificate.
    let ca = Authority::new("KubeVision test cluster CA").map_err(told("CA"))?;
    private_file(&folder.join("ca.crt"), ca.certificate())?;
    let server = ExtendedKeyUsagePurpose::ServerAuth;
    // The kubelet runs commands for whoever shows it a client's certificate of this CA, so this is the only one.
    let client = ExtendedKeyUsagePurpose::ClientAuth;
    for (file, name, usage) in [
        ("server", "kube-apiserver", &server),
        ("kubelet", "kubelet", &server),
        ("kubelet-client", "kube-apiserver", &client),
    ] {
        let signed = ca.sign(name, usage.clone()).map_err(told("certificates"))?;
        private_file(&folder.join(format!("{file}.crt")), &signed.certificate)?;
        private_file(&folder.join(format!("{file}.key")), &signed.key)?;
    }
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
