//! A cluster's keys: a CA, the API server's certificate signed by it, the key that signs service account tokens, random
//! tokens. Never here: a certificate that is its own CA – rustls refuses one – or a key that outlives its cluster.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

use super::KubeError;
use super::folders::private_file;

/// Writes `ca.crt`, `server.crt`, `server.key` and both halves of `service-accounts` into `folder`; answers with the CA.
pub(crate) fn write(folder: &Path) -> Result<String, KubeError> {
    let told = |what| move |source| KubeError::Certificate { what, source };
    let key = || KeyPair::generate().map_err(told("keys"));

    let mut params = named(Vec::new(), "KubeVision test cluster CA").map_err(told("CA"))?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    // The CA's key is dropped after this one use, so nobody can sign a second certificate.
    let ca_key = key()?;
    let ca = params.self_signed(&ca_key).map_err(told("CA"))?.pem();
    let issuer = Issuer::new(params, ca_key);

    let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    let mut params = named(names, "kube-apiserver").map_err(told("server certificate"))?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let server_key = key()?;
    let server = params.signed_by(&server_key, &issuer).map_err(told("server certificate"))?.pem();

    private_file(&folder.join("ca.crt"), &ca)?;
    private_file(&folder.join("server.crt"), &server)?;
    private_file(&folder.join("server.key"), &server_key.serialize_pem())?;
    let accounts_key = key()?;
    private_file(&folder.join("service-accounts.key"), &accounts_key.serialize_pem())?;
    private_file(&folder.join("service-accounts.pub"), &accounts_key.public_key_pem())?;
    Ok(ca)
}

fn named(names: Vec<String>, common: &str) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, common);
    Ok(params)
}

/// 256 random bits as hexadecimal text.
pub(crate) fn token() -> Result<String, KubeError> {
    let random = Path::new("/dev/urandom");
    let mut bytes = [0_u8; 32];
    let read = File::open(random).and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(KubeError::file("read random bytes", random))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
