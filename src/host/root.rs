//! The start of a VM and of each role in it.

use std::time::Duration;

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;
use serde::Deserialize;

use crate::config;
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
pub struct Root {
    id: u32,
    role: Option<Role>,
}

impl Root {
    /// A plugin that is not configured yet; its number among Envoy's contexts.
    pub fn new(id: u32) -> Root {
        Root { id, role: None }
    }
}

/// The plugin's configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "role", rename_all = "lowercase", deny_unknown_fields)]
enum Role {
    Gateway {},
    Vendor { vendor: String },
    Echo {},
    Bridge {},
}

impl Context for Root {
    fn on_http_call_response(&mut self, token: u32, headers: usize, size: usize, _: usize) {
        if !calls::ended(self.id, token, headers, size) && !errands::ended(self.id, token, headers, size) {
            redis::ended(self.id, token, headers, size);
        }
    }
}

impl RootContext for Root {
    fn on_vm_start(&mut self, _: usize) -> bool {
        let bytes = self.get_vm_configuration().unwrap_or_default();
        match config::parse_json(&bytes) {
            Ok(config) => {
                worker::configure(config);
                true
            }
            Err(problems) => {
                log::error!("the vm_config's configuration is not a weir.yaml: {problems}");
                false
            }
        }
    }

    fn on_configure(&mut self, _: usize) -> bool {
        let bytes = self.get_plugin_configuration().unwrap_or_default();
        match serde_json::from_slice::<Role>(&bytes) {
            Ok(Role::Vendor { vendor }) if worker::vendor(&vendor).is_none() => {
                log::error!("the plugin's configuration names the vendor {vendor:?}, which the vm_config's does not");
                false
            }
            Ok(role) => {
                if let Role::Gateway {} = role {
                    bell::hang();
                    worker::open_redis();
                    self.set_tick_period(TICK);
                }
                self.role = Some(role);
                true
            }
            Err(error) => {
                log::error!("the plugin's configuration is not {{\"role\": ..}}: {error}");
                false
            }
        }
    }

    fn on_queue_ready(&mut self, queue: u32) {
        bell::answered(queue);
        waiting::deliver(self.id);
        errands::make(self.id);
        redis::ready(self.id);
    }

    fn on_tick(&mut self) {
        bell::forget();
        let news = worker::with_world(self.id, Head::default, |world| {
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
            Some(Role::Vendor { vendor }) => match worker::vendor(vendor) {
                Some(index) => Box::new(Stream::new(id, Vendor::Fresh(index))),
                None => Box::new(Stream::new(id, Vendor::Over)),
            },
            Some(Role::Echo {}) => Box::new(Stream::new(id, Echo::Listening)),
            Some(Role::Bridge {}) => Box::new(Stream::new(id, Bridge::Open)),
            Some(Role::Gateway {}) | None => Box::new(Stream::new(id, Gateway::Fresh)),
        })
    }
}
