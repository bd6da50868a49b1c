//! The start of a VM and of each role in it.

use std::rc::Rc;
use std::time::Duration;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::config::{self, Config};
use crate::flow::Head;
use crate::flow::bridge::Bridge;
use crate::flow::echo::Echo;
use crate::flow::gateway::Gateway;
use crate::flow::vendor::Vendor;
use crate::flow::{flight, pool};
use crate::host::stream::Stream;
use crate::host::{bell, calls, errands, redis, waiting, worker};

/// Of the gateway role, for whatever waits. It is never switched off: it costs some microseconds, and in return nothing
/// depends on somebody having set a timer.
const TICK: Duration = Duration::from_millis(100);

/// One plugin: a role, once it is configured.
///
/// Envoy makes a new root for each configuration of a plugin, in the same VM, and keeps the old one as long as streams of
/// it are on their way. So a stream of the gateway's has the configuration of its root, and what belongs to the worker is
/// done by one of the roots: the one that hung the [`bell`], which is the newest.
pub struct Root {
    id: u32,
    role: Option<Role>,
    stay: Stay,
}

/// Whether a root is there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stay {
    /// It is.
    Here,
    /// Envoy wants it gone, and it waits for what it has called: with it, the answers would be lost.
    Leaving,
    /// It has said that it may go. Saying so twice is an error.
    Gone,
}

impl Root {
    /// A plugin that is not configured yet; its number among Envoy's contexts.
    pub fn new(id: u32) -> Root {
        Root { id, role: None, stay: Stay::Here }
    }

    /// From here on this is the root that acts for the worker.
    fn take_over(&self, config: &Rc<Config>) {
        worker::configure(Rc::clone(config));
        bell::hang(self.id);
        redis::open(config.redis.as_ref());
    }

    fn waits(&self) -> bool {
        redis::calls(self.id) || errands::calls(self.id)
    }
}

/// What a plugin does.
enum Role {
    Gateway(Rc<Config>),
    Vendor(Rc<str>),
    Echo,
    Bridge,
}

/// The plugin's configuration.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written<'w> {
    role: &'w str,
    /// Of a vendor's: its name.
    vendor: Option<String>,
    /// Of the gateway's: `weir.yaml`.
    #[serde(borrow)]
    config: Option<&'w RawValue>,
}

impl Role {
    fn parse(bytes: &[u8]) -> Result<Role, String> {
        let written: Written<'_> = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        match (written.role, written.vendor, written.config) {
            ("gateway", None, Some(config)) => {
                let config = config::parse_json(config.get().as_bytes());
                config.map(|config| Role::Gateway(Rc::new(config))).map_err(|problems| problems.to_string())
            }
            ("vendor", Some(vendor), None) => Ok(Role::Vendor(vendor.into())),
            ("echo", None, None) => Ok(Role::Echo),
            ("bridge", None, None) => Ok(Role::Bridge),
            (role, ..) => Err(format!("{role:?} is no role, or what belongs to it is missing or too much")),
        }
    }
}

impl Context for Root {
    fn on_http_call_response(&mut self, token: u32, headers: usize, size: usize, _: usize) {
        if !calls::ended(self.id, token, headers, size) && !errands::ended(self.id, token, headers, size) {
            redis::ended(self.id, token, headers, size);
        }
        if self.stay == Stay::Leaving && !self.waits() {
            self.stay = Stay::Gone;
            let _ = hostcalls::done();
        }
    }

    fn on_done(&mut self) -> bool {
        bell::take_down(self.id);
        self.stay = if self.waits() { Stay::Leaving } else { Stay::Gone };
        self.stay == Stay::Gone
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, _: usize) -> bool {
        match Role::parse(&self.get_plugin_configuration().unwrap_or_default()) {
            Ok(role) => {
                if let Role::Gateway(config) = &role {
                    self.take_over(config);
                    self.set_tick_period(TICK);
                }
                self.role = Some(role);
                true
            }
            Err(problem) => {
                log::error!("the plugin's configuration is refused: {problem}");
                false
            }
        }
    }

    fn on_queue_ready(&mut self, queue: u32) {
        // The next one to take over looks after everything at its first tick.
        if self.stay != Stay::Here {
            return;
        }
        bell::answered(queue);
        waiting::deliver(self.id);
        errands::make(self.id);
        redis::ready(self.id);
    }

    fn on_tick(&mut self) {
        match (bell::whose(), self.stay, &self.role) {
            (Some(root), ..) if root == self.id => bell::forget(),
            // The newest root went, because Envoy went back to the configuration of this one.
            (None, Stay::Here, Some(Role::Gateway(config))) => self.take_over(config),
            _ => return,
        }
        let news = worker::with_world(self.id, None, Head::default, |world| {
            world.spare.give_back(world);
            world.books.close(world.store, world.now());
            world.history.write(world.store, world.now());
            let mut news = flight::look(world);
            news.extend(pool::look(world));
            news
        });
        waiting::tell(news.unwrap_or_default());
        waiting::deliver(self.id);
        errands::make(self.id);
        redis::tick(self.id);
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        Some(match &self.role {
            Some(Role::Gateway(config)) => Box::new(Stream::new(id, Some(Rc::clone(config)), Gateway::Fresh)),
            Some(Role::Vendor(vendor)) => Box::new(Stream::new(id, None, Vendor::Fresh(Rc::clone(vendor)))),
            Some(Role::Echo) => Box::new(Stream::new(id, None, Echo::Listening)),
            Some(Role::Bridge) => Box::new(Stream::new(id, None, Bridge::Open)),
            None => Box::new(Stream::new(id, None, Gateway::Fresh)),
        })
    }
}
