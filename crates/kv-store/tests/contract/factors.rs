//! Second factors: set up, brought into force, shown once a step, given up; recovery codes; challenges.

use crate::world::{World, entry, id, now, occasion, permit, refusal};
use kv_authz::{
    SecondFactor, Unusable, UserId,
    action::{DisableTotp, EnableTotp, RenewRecoveryCodes, Reverify, SetUpTotp},
    audit::Event,
};
use kv_store::{ActError, Challenge, FactorRefused, NewSession, Proof, admission::Verdict, testing::Backend};
use std::{sync::Barrier, thread};
use time::Duration;

kv_store::on_both!(
    a_factor_is_in_force_from_its_first_code_on,
    attack_180_a_step_is_accepted_once_of_many_at_once,
    attack_189_a_recovery_code_is_accepted_once_of_many_at_once,
    attack_185_a_challenge_is_used_once_and_by_its_client,
    attack_190_new_codes_replace_all_old_ones,
    what_is_given_up_is_gone,
    the_secret_that_was_checked_is_the_one_in_force,
);

fn hashes(from: u8) -> Vec<String> {
    (from..from + 10).map(|n| format!("$hash{n}")).collect()
}

fn enrolled(world: &World) -> UserId {
    let ann = world.user("ann");
    let (session, basis) = world.session("ann");
    world.store.set_up_factor(&permit::<SetUpTotp>(), Some(&basis), (ann, b"sealed"), &occasion()).unwrap();
    let enable = permit::<EnableTotp>();
    world
        .store
        .enable_factor(&enable, Some(&basis), (ann, session), (b"sealed", 100, &hashes(0)), &occasion())
        .unwrap();
    ann
}

/// How many of 32 at once succeed.
fn at_once(act: impl Fn(u64) -> bool + Sync) -> usize {
    let start = Barrier::new(32);
    thread::scope(|scope| {
        let (act, start) = (&act, &start);
        let threads: Vec<_> = (0..32)
            .map(|n| {
                scope.spawn(move || {
                    start.wait();
                    act(n)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).filter(|&done| done).count()
    })
}

/// Shows a proof, again while the database is too busy to say.
fn show(world: &World, ann: UserId, proof: &Proof) -> Result<(), FactorRefused> {
    loop {
        match world.store.show_factor(&permit::<Reverify>(), None, (ann, id(), proof), &occasion()) {
            Ok(()) => return Ok(()),
            Err(ActError::Refused(refused)) => return Err(refused),
            Err(ActError::Store(_)) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
}

fn a_factor_is_in_force_from_its_first_code_on(backend: Backend) {
    let world = World::new(backend);
    let ann = world.user("ann");
    let (session, basis) = world.session("ann");
    world.user("bob");
    let ((_, other), (_, of_bob)) = (world.session("ann"), world.session("bob"));
    let factor = |session| world.store.session_authority(session).unwrap().unwrap().factor;
    assert_eq!((world.store.second_factor(ann).unwrap().is_none(), factor(session)), (true, SecondFactor::Missing));
    let set_up = |sealed: &[u8]| world.store.set_up_factor(&permit::<SetUpTotp>(), None, (ann, sealed), &occasion());
    set_up(b"one").unwrap();
    set_up(b"two").unwrap();
    let known = world.store.second_factor(ann).unwrap().unwrap();
    assert_eq!((known.sealed.as_slice(), known.enabled, factor(session)), (&b"two"[..], false, SecondFactor::Missing));
    assert!(!world.store.sign_in("ann").unwrap().unwrap().has_second_factor);
    assert_eq!(show(&world, ann, &Proof::Step(7)), Err(FactorRefused::Used), "it is not in force yet");

    let enable = || {
        let permit = permit::<EnableTotp>();
        world.store.enable_factor(&permit, None, (ann, session), (b"two", 100, &hashes(0)), &occasion())
    };
    assert_eq!(world.verdict(other), Verdict::Admitted);
    enable().unwrap();
    // Whoever signed in without it has to sign in again, but for the session that acts.
    assert_eq!(world.verdict(other), Verdict::Refused(Unusable::SessionEnded));
    assert_eq!((world.verdict(of_bob), world.verdict(basis)), (Verdict::Admitted, Verdict::Stale));
    assert_eq!(refusal(enable()), FactorRefused::Enabled);
    assert_eq!(refusal(set_up(b"three")), FactorRefused::Enabled);
    let known = world.store.second_factor(ann).unwrap().unwrap();
    assert_eq!((known.enabled, known.last_step, known.recovery_codes), (true, 100, 10));
    assert!(world.store.sign_in("ann").unwrap().unwrap().has_second_factor);
    assert!(world.store.find_user("ann").unwrap().unwrap().has_second_factor);
    assert!(matches!(factor(session), SecondFactor::Enrolled { shown_at: Some(_) }));
    assert_eq!(factor(world.session("ann").0), SecondFactor::Enrolled { shown_at: None });
    // What was decided before counts no more.
    assert_ne!(world.store.session_authority(session).unwrap().unwrap().user_version, basis.user_version);
}

fn attack_180_a_step_is_accepted_once_of_many_at_once(backend: Backend) {
    let world = World::new(backend);
    let ann = enrolled(&world);
    assert_eq!(show(&world, ann, &Proof::Step(100)), Err(FactorRefused::Used), "the one it was enabled with");
    for step in [101, 102, 105] {
        assert_eq!(at_once(|_| show(&world, ann, &Proof::Step(step)).is_ok()), 1);
    }
    assert_eq!(show(&world, ann, &Proof::Step(104)), Err(FactorRefused::Used), "an earlier one");
}

fn attack_189_a_recovery_code_is_accepted_once_of_many_at_once(backend: Backend) {
    let world = World::new(backend);
    let ann = enrolled(&world);
    for n in 0..3 {
        let code = Proof::RecoveryCode(format!("$hash{n}"));
        assert_eq!(at_once(|_| show(&world, ann, &code).is_ok()), 1);
        assert_eq!(world.store.second_factor(ann).unwrap().unwrap().recovery_codes, 9 - n);
    }
    assert_eq!(show(&world, ann, &Proof::RecoveryCode("$hash99".into())), Err(FactorRefused::Used));
}

fn attack_185_a_challenge_is_used_once_and_by_its_client(backend: Backend) {
    let world = World::new(backend);
    let ann = enrolled(&world);
    let version = world.store.sign_in("ann").unwrap().unwrap().version;
    let challenge = |n: u8| Challenge {
        digest: vec![n],
        user: ann,
        user_version: version,
        user_agent: "curl/8".into(),
        expires_at: now() + Duration::minutes(5),
    };
    let begin = |n| world.store.begin_challenge(&challenge(n), &entry(Event::AuthChallenge), now()).unwrap();
    let found = |n: u8, agent, at| world.store.find_challenge(&[n], agent, at).unwrap().map(|found| found.user);
    let answer = |n: u8, proof: Proof, token: u64| {
        let session = NewSession {
            id: id(),
            user: ann,
            user_version: version,
            expires_at: now() + Duration::HOUR,
            factor_shown_at: Some(now()),
            token: token.to_be_bytes().to_vec(),
        };
        loop {
            let given = (&challenge(n), &proof);
            match world.store.begin_session_by_factor(given, &session, &entry(Event::AuthLogin), now()) {
                Err(ActError::Store(_)) => {}
                done => break done,
            }
        }
    };
    begin(1);
    assert_eq!(found(1, "curl/8", now()), Some(ann));
    assert_eq!(found(1, "another", now()), None);
    assert_eq!(found(1, "curl/8", now() + Duration::minutes(5)), None);
    assert_eq!(found(2, "curl/8", now()), None);
    // A wrong proof leaves it as it is; of many right ones, one counts.
    assert_eq!(refusal(answer(1, Proof::Step(100), 0)), FactorRefused::Used);
    assert_eq!(found(1, "curl/8", now()), Some(ann));
    assert_eq!(at_once(|n| answer(1, Proof::RecoveryCode(format!("$hash{}", n % 10)), n + 1).is_ok()), 1);
    assert_eq!(found(1, "curl/8", now()), None);
    assert_eq!(world.store.second_factor(ann).unwrap().unwrap().recovery_codes, 9, "one code was used up");
    assert_eq!(world.database.count("sessions", "factor_shown_at IS NOT NULL"), 2);
    // It does not outlive a change of its user.
    begin(2);
    world.set("users", ann, "version = version + 1");
    assert!(matches!(answer(2, Proof::Step(200), 99), Err(ActError::Stale)));
}

fn attack_190_new_codes_replace_all_old_ones(backend: Backend) {
    let world = World::new(backend);
    let ann = enrolled(&world);
    show(&world, ann, &Proof::RecoveryCode("$hash0".into())).unwrap();
    let renew = |proof: Proof, from: u8| {
        let permit = permit::<RenewRecoveryCodes>();
        world.store.renew_recovery_codes(&permit, None, (ann, &proof, &hashes(from)), &occasion())
    };
    assert_eq!(refusal(renew(Proof::Step(100), 20)), FactorRefused::Used);
    renew(Proof::Step(101), 20).unwrap();
    assert_eq!(world.store.second_factor(ann).unwrap().unwrap().recovery_codes, 10);
    for n in 0..10 {
        assert_eq!(show(&world, ann, &Proof::RecoveryCode(format!("$hash{n}"))), Err(FactorRefused::Used));
    }
    show(&world, ann, &Proof::RecoveryCode("$hash20".into())).unwrap();
}

fn what_is_given_up_is_gone(backend: Backend) {
    let world = World::new(backend);
    let ann = enrolled(&world);
    let ((here, _), (_, other)) = (world.session("ann"), world.session("ann"));
    let disable =
        |step| world.store.disable_factor(&permit::<DisableTotp>(), None, (ann, here, &Proof::Step(step)), &occasion());
    assert_eq!(refusal(disable(100)), FactorRefused::Used);
    assert_eq!(world.database.count("sessions", "ended_at IS NULL"), 3);
    disable(101).unwrap();
    assert_eq!(world.verdict(other), Verdict::Refused(Unusable::SessionEnded));
    assert_eq!(world.database.count("sessions", "ended_at IS NULL"), 1, "the one that acts goes on");
    assert!(world.store.second_factor(ann).unwrap().is_none());
    assert!(!world.store.sign_in("ann").unwrap().unwrap().has_second_factor);
    assert_eq!(world.database.count("recovery_codes", "1 = 1"), 0);
    assert_eq!(refusal(disable(102)), FactorRefused::Used);
}

fn the_secret_that_was_checked_is_the_one_in_force(backend: Backend) {
    let world = World::new(backend);
    let ann = world.user("ann");
    let (session, _) = world.session("ann");
    let set_up = |sealed: &[u8]| world.store.set_up_factor(&permit::<SetUpTotp>(), None, (ann, sealed), &occasion());
    let enable = |checked: &[u8]| {
        let permit = permit::<EnableTotp>();
        world.store.enable_factor(&permit, None, (ann, session), (checked, 100, &hashes(0)), &occasion())
    };
    assert_eq!(refusal(enable(b"mine")), FactorRefused::Missing);
    set_up(b"mine").unwrap();
    // While its recovery codes were hashed, somebody else set one up.
    set_up(b"a stranger's").unwrap();
    assert!(matches!(enable(b"mine"), Err(ActError::Stale)));
    let known = world.store.second_factor(ann).unwrap().unwrap();
    assert_eq!((known.enabled, known.recovery_codes), (false, 0));
    assert_eq!(world.database.count("audit_entries", "action = 'totp.enable'"), 0);
    enable(b"a stranger's").unwrap();
    assert_eq!(refusal(enable(b"mine")), FactorRefused::Enabled);
}
