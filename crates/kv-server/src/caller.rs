//! The caller: one authenticated request on its way through. Handlers ask it for the three kinds of work there are:
//! `observe` (a bounded answer from our own tables, admitted last), `act` (a change of our own tables, put on record in
//! its transaction) and `begin` (work outside: intent on disk first, outcome later).
//!
//! Each confirms at the database that the credential lives and the rights are those decided on, and decides again when
//! they are not.

use crate::{
    admission::{Guard, Replies},
    app::App,
    auth::{Authority, Presented},
    failure::Failure,
    operations::Acting,
    pending::{Begun, Left, Waiting},
    view::View,
};
use kv_authz::{
    EntryId, Owner, Principal,
    audit::{Detail, Entry, Event, Finish, Origin, Target},
};
use kv_store::{
    Basis, Credential, Occasion,
    admission::{Decision, Request, Verdict},
};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
};
use time::OffsetDateTime;

/// Decisions before a request whose owner's rights keep changing is told to try again.
const ATTEMPTS: u32 = 4;

/// One authenticated request.
#[derive(Clone, Debug)]
pub struct Caller(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    app: Arc<App>,
    /// By which its thread is told.
    way: Option<Replies>,
    presented: Presented,
    authority: RefCell<Arc<Authority>>,
    guard: Guard,
    id: EntryId,
    origin: Origin,
    about: RefCell<(Event, Target)>,
    on_record: Cell<bool>,
    written: Cell<bool>,
    /// A person's read, which was admitted and has no entry.
    entryless: Cell<bool>,
    /// What was on its way to admission when its handler was dropped.
    left: RefCell<Option<Left>>,
}

impl Caller {
    /// A request that was authenticated and has entered the registry.
    #[must_use]
    pub fn new(
        (app, way): (Arc<App>, Option<Replies>),
        presented: Presented,
        authority: Arc<Authority>,
        guard: Guard,
        id: EntryId,
        origin: Origin,
    ) -> Self {
        Self(Rc::new(Inner {
            app,
            way,
            presented,
            authority: RefCell::new(authority),
            guard,
            id,
            origin,
            about: RefCell::new((Event::RequestReject, Target::default())),
            on_record: Cell::new(false),
            written: Cell::new(false),
            entryless: Cell::new(false),
            left: RefCell::new(None),
        }))
    }

    /// The application.
    #[must_use]
    pub fn app(&self) -> &Arc<App> {
        &self.0.app
    }

    /// The place in the registry of requests in flight.
    #[must_use]
    pub fn guard(&self) -> &Guard {
        &self.0.guard
    }

    /// The credential.
    #[must_use]
    pub fn credential(&self) -> Credential {
        self.0.authority.borrow().credential
    }

    /// Whose rights the request has, as last read.
    #[must_use]
    pub fn rights(&self) -> Arc<Owner> {
        self.0.authority.borrow().owner.clone()
    }

    /// The caller as last read: for what is shown, never for a decision.
    #[must_use]
    pub fn principal(&self) -> Principal {
        self.0.authority.borrow().principal(&self.0.origin.user_agent)
    }

    /// An operation's frame for this request.
    #[must_use]
    pub fn acting<'a>(&'a self, view: &'a View) -> Acting<'a> {
        Acting {
            app: &self.0.app,
            principal: &view.principal,
            basis: Some(view.basis),
            occasion: self.occasion(),
            guard: Some(self.0.guard.clone()),
        }
    }

    /// The request's id, which is its audit entry's as well.
    #[must_use]
    pub fn id(&self) -> EntryId {
        self.0.id
    }

    /// Says what the request is about, for the entry of a failure before any decision.
    pub fn about(&self, event: Event, target: Target) {
        *self.0.about.borrow_mut() = (event, target);
    }

    /// Whether the request is on record already.
    #[must_use]
    pub fn is_on_record(&self) -> bool {
        self.0.on_record.get() || self.0.written.get()
    }

    /// Whether it has an entry already, or may have one.
    #[must_use]
    pub fn has_entry(&self) -> bool {
        self.is_on_record() && !self.0.entryless.get()
    }

    fn occasion(&self) -> Occasion {
        Occasion { id: self.0.id, origin: self.0.origin.clone(), now: self.0.app.clock.now() }
    }

    async fn view(&self) -> Result<View, Failure> {
        let clusters = self.0.app.clusters().await?;
        Ok(View::new(&self.0.authority.borrow(), clusters, &self.0.origin.user_agent))
    }

    async fn reload(&self) -> Result<(), Failure> {
        let app = &self.0.app;
        app.reload_clusters().await?;
        // Gone altogether: admission with what is known refuses it, and puts that on record.
        let gone = Failure::Unauthorized { reason: None };
        self.0.authority.replace(app.authorities.reload(&self.0.presented).await?.ok_or(gone)?);
        Ok(())
    }

    /// Brings the entry to admission. `None`: the rights have changed, decide again.
    fn admit(
        &self,
        view: &View,
        entry: Entry,
        finish: Option<Finish>,
        audited: bool,
    ) -> impl Future<Output = Result<Option<OffsetDateTime>, Failure>> {
        // Brought right away: what waits for the word need not carry the entry along.
        let (basis, broken) = (view.basis, self.0.app.config.broken);
        let asked = self.0.app.clock.since_boot();
        let request = broken.request(Request { entry, basis: Some(basis), finish, count: 1, audited });
        let waiting =
            self.0.app.batcher().map(|batcher| Waiting::bring(&batcher, request, self.0.way.clone(), &self.0.left));
        async move {
            // It may be written yet; a second entry would be one too many.
            let decision = waiting?.decision().await.inspect_err(|_| self.0.on_record.set(true))?;
            self.0.entryless.set(!audited && decision.verdict == Verdict::Admitted);
            if let Some(lasts) = decision.lasts {
                self.0.app.readers.keep(basis, lasts, asked);
            }
            self.decided(basis, broken.decision(&self.0.app, self.0.id, decision))
        }
    }

    fn decided(&self, basis: Basis, decision: Decision) -> Result<Option<OffsetDateTime>, Failure> {
        let app = &self.0.app;
        match decision.verdict {
            Verdict::Admitted => {
                self.0.on_record.set(true);
                if let Credential::Key(key) = basis.credential {
                    app.uses.note(key, decision.at, self.0.origin.ip);
                }
                Ok(Some(decision.at))
            }
            Verdict::Refused(reason) => {
                self.0.on_record.set(true);
                app.authorities.forget(&self.0.presented);
                Err(Failure::Unauthorized { reason: Some(reason) })
            }
            Verdict::Stale => Ok(None),
        }
    }

    /// A bounded answer from our own tables: computed first, admitted last, its entry written once. Dropped if the
    /// credential is refused. A person's successful reads leave no entry.
    ///
    /// # Errors
    /// The reading's own failure, once it is on record; [`Failure::Unauthorized`] where the credential is refused.
    pub async fn observe<T>(
        &self,
        event: Event,
        target: Target,
        read: impl AsyncFn(&View) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.about(event, target);
        for _ in 0..ATTEMPTS {
            let view = self.view().await?;
            let result = read(&view).await;
            if result.as_ref().is_err_and(Failure::leaves_no_entry) || self.conclude(&view, &result).await? {
                return result;
            }
            Box::pin(self.reload()).await?;
        }
        Err(Failure::Stale)
    }

    /// A change of our own tables by an act of the store, which puts itself on record. What the act refuses is put on
    /// record here.
    ///
    /// # Errors
    /// The act's own failure, once it is on record.
    pub async fn act<T>(
        &self,
        event: Event,
        target: Target,
        act: impl AsyncFn(&View) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.about(event, target);
        for _ in 0..ATTEMPTS {
            let view = self.view().await?;
            let result = act(&view).await;
            match &result {
                Ok(_) => {
                    self.0.written.set(true);
                    return result;
                }
                Err(Failure::Stale) => {}
                Err(failure) if failure.leaves_no_entry() => {
                    self.0.on_record.set(failure.may_be_done());
                    return result;
                }
                Err(_) if self.conclude(&view, &result).await? => return result,
                Err(_) => {}
            }
            Box::pin(self.reload()).await?;
        }
        Err(Failure::Stale)
    }

    /// Work outside: decided, admitted with its intent on disk, and only then handed back to be done. Its end is said
    /// with [`Begun::end`]. A person's reads leave no entry.
    ///
    /// # Errors
    /// The decision's own failure, once it is on record; [`Failure::Unauthorized`]; [`Failure::Unavailable`] while too
    /// many outcomes wait to be written.
    pub async fn begin<T>(
        &self,
        read_only: bool,
        event: Event,
        target: Target,
        decide: impl AsyncFn(&View) -> Result<(T, Detail), Failure>,
    ) -> Result<(T, Begun), Failure> {
        self.about(event, target.clone());
        let app = &self.0.app;
        for _ in 0..ATTEMPTS {
            if app.outcomes.is_full() {
                return Err(Failure::Unavailable { step: "too many outcomes wait to be written", source: None });
            }
            let view = self.view().await?;
            match decide(&view).await {
                Ok((work, detail)) => {
                    let audited = view.principal.is_api_key() || !read_only;
                    let mut entry = view.entry(self.0.id, event, target.clone(), &self.0.origin);
                    entry.detail = detail;
                    let id = entry.id;
                    if let Some(at) = self.admit(&view, entry, None, audited).await? {
                        let entry = audited.then_some((id, at));
                        return Ok((work, Begun::new(app, entry)));
                    }
                }
                Err(failure) => {
                    let result: Result<T, Failure> = Err(failure);
                    if result.as_ref().is_err_and(Failure::leaves_no_entry) || self.conclude(&view, &result).await? {
                        return result.map(|_| unreachable!());
                    }
                }
            }
            Box::pin(self.reload()).await?;
        }
        Err(Failure::Stale)
    }

    /// Looks at the rights as last read, without confirming them: for what shows nothing and touches nothing.
    ///
    /// # Errors
    /// The look's own failure, which may be out of date: [`Self::confirm`] it before telling anyone.
    pub async fn peek<T>(&self, look: &impl AsyncFn(&View) -> Result<T, Failure>) -> Result<T, Failure> {
        look(&self.view().await?).await
    }

    /// The same, with credential and rights confirmed by the database. Leaves no entry of its own.
    ///
    /// # Errors
    /// The look's own failure, once the rights it was made on are confirmed; [`Failure::Unauthorized`] where the credential
    /// is refused.
    pub async fn confirm<T>(&self, look: &impl AsyncFn(&View) -> Result<T, Failure>) -> Result<T, Failure> {
        self.confirm_as(self.0.id, look).await
    }

    /// The same once more in the middle of long work. A credential that is refused by now has an entry of its own.
    ///
    /// # Errors
    /// As [`Self::confirm`].
    pub async fn confirm_again<T>(&self, look: &impl AsyncFn(&View) -> Result<T, Failure>) -> Result<T, Failure> {
        let app = &self.0.app;
        self.confirm_as(app.random.id(app.clock.now())?, look).await
    }

    async fn confirm_as<T>(&self, id: EntryId, look: &impl AsyncFn(&View) -> Result<T, Failure>) -> Result<T, Failure> {
        let on_record = self.0.on_record.get();
        for _ in 0..ATTEMPTS {
            let view = self.view().await?;
            let found = look(&view).await;
            if found.as_ref().is_err_and(Failure::leaves_no_entry) {
                return found;
            }
            let (event, target) = self.0.about.borrow().clone();
            let entry = view.entry(id, event, target, &self.0.origin);
            let admitted = self.admit(&view, entry, None, false).await?;
            self.0.on_record.set(on_record);
            if admitted.is_some() {
                return found;
            }
            Box::pin(self.reload()).await?;
        }
        Err(Failure::Stale)
    }

    /// Puts a request on record that ended before any of the three: an unknown address, an unreadable body.
    ///
    /// # Errors
    /// [`Failure::Unauthorized`] where the credential is refused.
    pub async fn put_on_record(&self, finish: Finish) -> Result<(), Failure> {
        let left = self.0.left.take();
        if let Some(left) = left {
            let there = left.see_through(&self.0.app.outcomes, self.0.id, &finish).await;
            self.0.on_record.set(there.unwrap_or(true));
            if there? {
                return Ok(());
            }
        }
        for _ in 0..ATTEMPTS {
            let view = self.view().await?;
            if self.conclude_with(&view, finish.clone(), true).await? {
                return Ok(());
            }
            Box::pin(self.reload()).await?;
        }
        Err(Failure::Stale)
    }

    async fn conclude<T>(&self, view: &View, result: &Result<T, Failure>) -> Result<bool, Failure> {
        let finish = result.as_ref().err().map_or_else(|| Finish::with_status(200), Failure::finish);
        self.conclude_with(view, finish, result.is_err() || view.principal.is_api_key()).await
    }

    async fn conclude_with(&self, view: &View, finish: Finish, audited: bool) -> Result<bool, Failure> {
        // A page that shows what was refused reads once more: no second entry.
        let audited = audited && !self.0.written.get();
        let app = &self.0.app;
        if !audited && app.readers.read_on(&view.basis, app.in_flight.lease(), app.clock.since_boot()) {
            self.0.on_record.set(true);
            self.0.entryless.set(true);
            return Ok(true);
        }
        let (event, target) = self.0.about.borrow().clone();
        let entry = view.entry(self.0.id, event, target, &self.0.origin);
        let admitted = self.admit(view, entry, Some(finish), audited).await?.is_some();
        self.0.written.update(|written| written || (audited && admitted));
        Ok(admitted)
    }
}
