//! Filling a database with users and keys, for measurements.

use super::{key::issue, operator, with_app};
use crate::{
    cli::SeedOptions,
    error::{Done, Tried},
    output::{line, progress},
};
use kv_server::operations::{assign_user::assign_user, create_user::create_user};
use std::{
    fs::OpenOptions,
    io::{BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
};

/// Fills a database with users and keys.
pub(crate) fn seed(options: &SeedOptions) -> Done {
    with_app(async |app| {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&options.out);
        let mut out = BufWriter::new(file.tried(&format!("making {}", options.out.display()))?);
        let users = options.users.max(1);
        let mut owners = Vec::new();
        for n in 0..users {
            let id = create_user(&operator(app)?, &format!("seed-{n:05}"), "readonly", None).await?.id;
            assign_user(&operator(app)?, id, None, None).await?;
            owners.push(id);
        }
        for (n, &owner) in (0..options.keys).zip(owners.iter().cycle()) {
            let created = issue(app, owner, format!("seed-{n:07}"), None).await?;
            writeln!(out, "{}", created.key.expose()).tried("writing the keys")?;
            if (n + 1) % 1_000 == 0 {
                progress(&format!("{} keys of {}", n + 1, options.keys));
            }
        }
        out.flush().tried("writing the keys")?;
        line(&format!("{users} users, {} keys; the keys are in {}.", options.keys, options.out.display()));
        Ok(())
    })
}
